//! Which test files are meant.

use std::path::{Path, PathBuf};
use std::{fs, io};

use exhook_policy_core::suite;

/// The test files that these paths mean, each once: test files themselves, those beside policies, and those below
/// folders, in the order of their names. Hidden folders are passed over.
///
/// # Errors
/// A path means none, or a folder cannot be read.
pub(super) fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut found: Vec<PathBuf> = Vec::new();
    for path in paths {
        for file in find_one(path)? {
            if !found.iter().any(|known| is_same(known, &file)) {
                found.push(file);
            }
        }
    }
    Ok(found)
}

fn find_one(path: &Path) -> Result<Vec<PathBuf>, String> {
    if path.is_dir() {
        let mut found = Vec::new();
        below(path, &mut found).map_err(|error| format!("{}: {error}", path.display()))?;
        if found.is_empty() {
            return Err(format!("{}: there is no test file, `rules.test.yaml` say, in it or below it", path.display()));
        }
        return Ok(found);
    }
    if suite::is_test_file(path) {
        return Ok(vec![path.to_owned()]);
    }
    let beside = suite::tests_beside(path);
    match beside.iter().find(|beside| beside.is_file()) {
        Some(beside) => Ok(vec![beside.clone()]),
        None if !path.exists() => Err(format!("{}: there is no such file", path.display())),
        None => {
            let name = beside.first().and_then(|beside| beside.file_name()).unwrap_or_default();
            Err(format!("{}: its tests, `{}`, do not stand beside it", path.display(), name.to_string_lossy()))
        }
    }
}

fn below(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = if folder == Path::new(".") { PathBuf::from(entry.file_name()) } else { entry.path() };
        if entry.file_type()?.is_dir() {
            if !entry.file_name().to_string_lossy().starts_with('.') {
                below(&path, found)?;
            }
        } else if suite::is_test_file(&path) {
            found.push(path);
        }
    }
    Ok(())
}

fn is_same(one: &Path, other: &Path) -> bool {
    one == other || one.canonicalize().is_ok_and(|one| other.canonicalize().is_ok_and(|other| one == other))
}
