//! The same calls to EMQX's Python SDK, where it can be installed.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Settings;
use crate::figures::Figures;
use crate::history::history;
use crate::place::{Driver, OURS, Place, filters, rules, write_lines};
use crate::{calls, history};

pub const PYTHON: &str = "Python SDK";
const PACKAGES: [&str; 2] = ["emqx-extension-sdk==0.2", "emqx-erlport==1.1.1.1"];

pub fn measure(settings: &Settings) -> Figures {
    let place = Place::new();
    let mut figures = Figures::new(settings, settings.length);
    let (python, packages) = match installed() {
        Ok(found) => found,
        Err(problem) => {
            println!("  left out: {problem}");
            return figures;
        }
    };
    let policy = place.policy("policy", &rules(&history("normal")));
    write_lines(&policy.join("filters.txt"), filters());
    for file in ["rules.py", "sitecustomize.py"] {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(file);
        fs::copy(source, policy.join(file)).expect("a script");
    }
    let search_path = format!("{}:{}", policy.display(), packages.display());
    let python = Driver { name: PYTHON, program: python, module: "emqx.erlport.cli", search_path };
    let drivers = [place.constant(), place.ours(OURS, &policy), python];
    calls::of(&mut figures, settings, &drivers);
    history::of(&mut figures, settings, &drivers);
    figures
}

/// An interpreter, and the folder that the packages are in.
fn installed() -> Result<(PathBuf, PathBuf), String> {
    let python = interpreter().ok_or("no Python with pip and sqlite3 on the PATH")?;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python-sdk");
    if !folder.join("emqx/erlport/cli.py").exists() || !folder.join("emqx_extension/hooks.py").exists() {
        let output = Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "--target"])
            .arg(&folder)
            .args(PACKAGES)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| error.to_string())?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("pip: {}", said.lines().last().unwrap_or("no reason")));
        }
    }
    Ok((python, folder))
}

/// The first interpreter that erlport was written for, or else any, which `sitecustomize.py` helps.
fn interpreter() -> Option<PathBuf> {
    let mut folders: Vec<PathBuf> =
        env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default();
    let pyenv = env::var_os("PYENV_ROOT").map(PathBuf::from);
    let pyenv = pyenv.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".pyenv")));
    let versions = pyenv.and_then(|root| fs::read_dir(root.join("versions")).ok());
    folders.extend(versions.into_iter().flatten().flatten().map(|version| version.path().join("bin")));
    let names = ["python3.8", "python3.9", "python3.10", "python3"];
    let programs = names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    // What stands on the PATH may hand on to an interpreter that is not there, or to one of another name.
    programs.filter(|program| program.is_file()).find_map(|program| {
        let code = "import pip, sqlite3, sys; print(sys.executable)";
        let tried = Command::new(program).args(["-c", code]).stderr(Stdio::null()).output().ok()?;
        let said = String::from_utf8(tried.stdout).ok().filter(|_| tried.status.success())?;
        Some(PathBuf::from(said.trim()))
    })
}
