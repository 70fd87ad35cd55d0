//! Writes an installer of macOS: `write-pkg ROOT SCRIPTS NAME TITLE VERSION OUT.pkg`.
//!
//! ROOT is what is to lie in `/`, with its rights, all of it root's; SCRIPTS has `postinstall`. The bytes depend on
//! these alone.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use embala_pkg::{DirSpec, FileSpec, PkgSpec};

fn main() -> Result<()> {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    let [root, scripts, name, title, version, out] = arguments.as_slice() else {
        bail!("write-pkg ROOT SCRIPTS NAME TITLE VERSION OUT.pkg");
    };
    let mut spec = PkgSpec {
        name: name.clone(),
        display_name: title.clone(),
        identifier: name.clone(),
        version: version.clone(),
        install_location: "/".to_owned(),
        enable_user_home: false,
        files: Vec::new(),
        directories: Vec::new(),
        scripts: Some(PathBuf::from(scripts)),
    };
    read(Path::new(root), "", &mut spec)?;
    embala_pkg::build(&spec, Path::new(out)).with_context(|| format!("cannot write {out}"))
}

fn read(folder: &Path, prefix: &str, spec: &mut PkgSpec) -> Result<()> {
    for entry in
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        let src = entry?.path();
        let found = fs::symlink_metadata(&src)?;
        let name = src
            .file_name()
            .context("an entry has a name")?
            .to_str()
            .context("a name is text")?;
        let dest = format!("{prefix}{name}");
        let mode = Some(found.permissions().mode() & 0o777);
        if found.is_dir() {
            read(&src, &format!("{dest}/"), spec)?;
            spec.directories.push(DirSpec { dest, mode });
        } else if found.is_file() {
            spec.files.push(FileSpec { src, dest, mode });
        } else {
            bail!("{} is neither a file nor a folder", src.display());
        }
    }
    Ok(())
}
