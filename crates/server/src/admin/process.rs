//! What the system says of this process, where it says anything.

/// Bytes that it had written to disks, as the kernel counts them.
pub fn written_bytes() -> Option<u64> {
    let counts = std::fs::read_to_string("/proc/self/io").ok()?;
    let count = |name: &str| {
        counts
            .lines()
            .find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok())
    };
    Some(count("write_bytes:")?.saturating_sub(count("cancelled_write_bytes:").unwrap_or(0)))
}

/// Files that it may have open at a time.
#[cfg(unix)]
pub fn open_files_max() -> Option<u64> {
    Some(
        rustix::process::getrlimit(rustix::process::Resource::Nofile)
            .current
            .unwrap_or(u64::MAX),
    )
}

/// Files that it may have open at a time.
#[cfg(not(unix))]
pub fn open_files_max() -> Option<u64> {
    None
}
