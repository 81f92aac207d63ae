use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;

fn os(args: &[&str]) -> Vec<OsString> {
    args.iter().map(OsString::from).collect()
}

#[test]
fn two_names_make_a_driver() {
    #[track_caller]
    fn check(argv0: &str, expected: Option<Language>) {
        assert_eq!(called_as(OsStr::new(argv0)).map(|called| called.language), expected);
    }
    check("python3", Some(Language::Python));
    check("/opt/drivers/python3", Some(Language::Python));
    check("python3.8", Some(Language::Python));
    check("java", Some(Language::Java));
    check("./java", Some(Language::Java));
    check("exhook-policy", None);
    check("python", None);
    check("python3.8-config", None);
    check("javac", None);
    check("", None);
    check("/", None);
}

#[test]
fn the_brokers_command_lines_are_known() {
    #[track_caller]
    fn check(language: Language, args: &[&str], expected: Option<&[&str]>) {
        let args = os(args);
        let options = expected.map(os);
        let expected = options.as_deref().map_or(Task::HandOn, Task::Drive);
        assert_eq!(Task::of(language, &args), expected);
    }
    const OPTIONS: [&str; 4] = ["--packet=4", "--use_stdio", "--compressed=0", "--buffer_size=65536"];
    check(Language::Python, &[&["-u", "-m", "erlport.cli"][..], &OPTIONS].concat(), Some(&OPTIONS));
    check(Language::Python, &["-m", "erlport.cli"], Some(&[]));
    check(Language::Java, &[&["-cp", "e.jar:/p", "erlport.CLI"][..], &OPTIONS].concat(), Some(&OPTIONS));
    check(Language::Java, &[&["-cp", "e.jar:/p", "com.erlport.Main"][..], &OPTIONS].concat(), Some(&OPTIONS));
    check(Language::Python, &[], None);
    check(Language::Python, &["-c", "print(1)"], None);
    check(Language::Python, &["-m", "erlport"], None);
    check(Language::Python, &["erlport.cli"], None);
    check(Language::Python, &["-V", "-m"], None);
    check(Language::Python, &["com.erlport.Main"], None);
    check(Language::Java, &["-version"], None);
    check(Language::Java, &["-m", "erlport.cli"], None);
}

#[test]
fn a_version_is_said_as_python_says_it() {
    for arg in ["-V", "--version"] {
        assert_eq!(Task::of(Language::Python, &os(&[arg])), Task::Version);
        assert_eq!(Task::of(Language::Java, &os(&[arg])), Task::HandOn);
    }
    let (name, version) = PYTHON_VERSION.split_once(' ').unwrap();
    let numbers: Vec<u32> = version.split('.').map(|number| number.parse().unwrap()).collect();
    assert!(name == "Python" && numbers.len() == 3 && numbers >= vec![3, 0, 0], "{PYTHON_VERSION}");
}

#[test]
fn options_are_those_of_erlport() {
    #[track_caller]
    fn check(args: &[&str], expected: Result<(Packet, bool, &[&str]), &str>) {
        let found = Options::read(&os(args));
        let expected = expected.map(|(packet, stdio, unknown)| Options {
            packet,
            stdio,
            unknown: unknown.iter().map(|&name| name.to_owned()).collect(),
        });
        assert_eq!(found, expected.map_err(str::to_owned));
    }
    check(&[], Ok((Packet::Four, true, &[])));
    check(&["--packet=4", "--use_stdio", "--compressed=0", "--buffer_size=65536"], Ok((Packet::Four, true, &[])));
    check(&["--packet=1", "--nouse_stdio", "--compressed=9"], Ok((Packet::One, false, &[])));
    check(&["--packet", "2", "--compressed", "1", "--buffer_size", "5"], Ok((Packet::Two, true, &[])));
    check(&["--packet=2", "--what=x", "y"], Ok((Packet::Two, true, &["--what", "y"])));
    check(&["--packet=3"], Err("--packet=3: 1, 2 and 4 are the lengths that there are"));
    check(&["--packet"], Err("--packet=: 1, 2 and 4 are the lengths that there are"));
}

#[test]
fn the_class_path_is_found() {
    #[track_caller]
    fn check(args: &[&str], expected: Option<&str>) {
        assert_eq!(class_path(&os(args)), expected.map(OsString::from));
    }
    check(&["-cp", "a.jar:/p", "erlport.CLI"], Some("a.jar:/p"));
    check(&["-Xmx1g", "-classpath", "/p", "erlport.CLI"], Some("/p"));
    check(&["--class-path=/p", "erlport.CLI"], Some("/p"));
    check(&["--class-path", "/p", "erlport.CLI"], Some("/p"));
    check(&["erlport.CLI"], None);
    check(&["-cp"], None);
    assert_eq!(
        search_path(Language::Java, &os(&["-cp", "/x/erlport.jar:/p::/q", "erlport.CLI"])),
        ["/x/erlport.jar", "/p", "/q"].map(PathBuf::from)
    );
}

#[test]
fn the_first_policy_of_the_name_is_taken() {
    let root = TempDir::new().unwrap();
    let folder = |name: &str| {
        let folder = root.path().join(name);
        fs::create_dir(&folder).unwrap();
        folder
    };
    let (empty, short, both) = (folder("empty"), folder("short"), folder("both"));
    let jar = root.path().join("erlport.jar");
    for file in [&jar, &short.join("rules.yml"), &both.join("rules.yaml"), &both.join("rules.yml")] {
        fs::write(file, "version: 1\n").unwrap();
    }
    let gone = root.path().join("gone");
    let find = |module: &str, path: &[&PathBuf]| {
        find_policy(module, &path.iter().map(|&entry| entry.clone()).collect::<Vec<_>>())
    };
    assert_eq!(find("rules", &[&jar, &gone, &empty, &short, &both]), Ok(short.join("rules.yml")));
    assert_eq!(find("rules", &[&both, &short]), Ok(both.join("rules.yaml")));
    assert_eq!(
        find("other", &[&jar, &empty, &both]),
        Err(format!("no other.yaml or other.yml in {}, {}", empty.display(), both.display()))
    );
    assert_eq!(
        find("rules", &[&jar, &gone]),
        Err(format!("no rules.yaml: the search path holds no folder: {}, {}", jar.display(), gone.display()))
    );
    assert_eq!(find("rules", &[]), Err("no rules.yaml: the search path holds no folder: ".to_owned()));
    for module in ["", "/etc/rules", "../both/rules", "..", "a/rules", "rules\0"] {
        assert_eq!(
            find(module, &[&both]),
            Err(format!("{module:?} is no name of a policy: name the file without its folder and ending"))
        );
    }
}

#[test]
fn the_next_program_of_the_name_is_one_behind_this() {
    let root = TempDir::new().unwrap();
    let program = |folder: &str, mode: u32| {
        let folder = root.path().join(folder);
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("python3");
        fs::write(&file, folder.as_os_str().as_encoded_bytes()).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        file
    };
    let (before, this, plain, next, last) = (
        program("before", 0o755),
        program("this", 0o755),
        program("plain", 0o644),
        program("next", 0o755),
        program("last", 0o755),
    );
    let link = root.path().join("link");
    fs::create_dir(&link).unwrap();
    symlink(&this, link.join("python3")).unwrap();
    let is_this = |file: &Path| fs::canonicalize(file).is_ok_and(|file| file == fs::canonicalize(&this).unwrap());

    let find = |programs: &[&Path]| {
        let path = std::env::join_paths(programs.iter().map(|file| file.parent().unwrap())).unwrap();
        next_on_path(OsStr::new("python3"), &path, is_this)
    };
    let linked = link.join("python3");
    let missing = root.path().join("missing/python3");
    assert_eq!(find(&[&this, &missing, &plain, &next, &last]), Some(next.clone()));
    assert_eq!(find(&[&linked, &this, &next]), Some(next.clone()));
    // Whoever stands before may be a copy that handed on to us.
    assert_eq!(find(&[&before, &this, &next]), Some(next.clone()));
    assert_eq!(find(&[&before, &this]), None);
    // Called by its path alone.
    assert_eq!(find(&[&next, &last]), Some(next.clone()));
    assert_eq!(find(&[&this, &linked]), None);
    assert_eq!(find(&[]), None);
}

#[test]
fn a_policy_is_changed_once_it_has_been_left_alone() {
    let dir = TempDir::new().unwrap();
    let path = [dir.path().to_owned()];
    let file = dir.path().join("rules.yaml");
    let seen = || PolicySeen::of("rules", &path);
    let mut watch = PolicyWatch { known: seen(), waiting: None };
    let begin = Instant::now();
    assert!(!watch.is_changed(seen(), begin + 5 * QUIET), "it is missing as before");
    fs::write(&file, "version").unwrap();
    assert!(!watch.is_changed(seen(), begin));
    assert!(!watch.is_changed(seen(), begin + QUIET / 2));
    fs::write(&file, "version: 1\n").unwrap();
    assert!(!watch.is_changed(seen(), begin + QUIET), "it is being written");
    assert!(watch.is_changed(seen(), begin + 2 * QUIET));
    fs::remove_file(&file).unwrap();
    assert!(!watch.is_changed(seen(), begin + 3 * QUIET), "it is as it was");
    assert!(!watch.is_changed(seen(), begin + 9 * QUIET));
}
