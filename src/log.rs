//! Log files of services, one way for all managers that write files.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

/// No more of a file's end is looked at for its last lines.
const END: u64 = 16 << 10;

/// The last lines of some files, those of the one that was written last at the
/// end.
#[must_use]
pub fn tail(files: &[PathBuf], lines: usize) -> Vec<String> {
    let mut files: Vec<&PathBuf> = files.iter().filter(|path| path.is_file()).collect();
    files.sort_by_key(|path| path.metadata().and_then(|meta| meta.modified()).ok());
    let texts = files.iter().filter_map(|path| end(path).ok());
    let all: Vec<String> =
        texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    all[all.len().saturating_sub(lines)..].to_vec()
}

fn end(path: &Path) -> std::io::Result<String> {
    let mut log = File::open(path)?;
    let len = log.metadata()?.len();
    log.seek(SeekFrom::Start(len.saturating_sub(END)))?;
    let mut text = Vec::new();
    log.read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
