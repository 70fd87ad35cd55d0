//! Limits of the machine itself.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce};
use anyhow::{Context, Result};
use redb::{Database, TableDefinition};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, ConnectionCommon, ServerConfig, ServerConnection, SideData};

use crate::line::Certificate;

/// Name and number, as in a record.
pub type Values = Vec<(&'static str, f64)>;

fn median_us(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times
        .get(times.len() / 2)
        .map_or(0.0, |time| time.as_secs_f64() * 1e6)
}

/// Repeats work and returns the time of each iteration.
fn repeat(time: Duration, mut work: impl FnMut() -> Result<()>) -> Result<Vec<Duration>> {
    let (started, mut times) = (Instant::now(), Vec::new());
    while started.elapsed() < time {
        let turn = Instant::now();
        work()?;
        times.push(turn.elapsed());
    }
    Ok(times)
}

/// Repeated appends of this many bytes to a file, each with `fdatasync`.
pub fn disk(folder: &Path, bytes: usize, time: Duration) -> Result<Values> {
    let path = folder.join("disk");
    let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
    let block = vec![7; bytes];
    let times = repeat(time, || {
        file.write_all(&block)?;
        Ok(file.sync_data()?)
    })?;
    std::fs::remove_file(path)?;
    let rate = times.len() as f64 / time.as_secs_f64();
    Ok(vec![
        ("per_s", rate),
        ("p50_us", median_us(times)),
        ("mb_per_s", rate * bytes as f64 / 1e6),
    ])
}

/// Round trip of one KiB over local TCP between two threads.
pub fn loopback(time: Duration) -> Result<Values> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut near = TcpStream::connect(listener.local_addr()?)?;
    let (mut far, _) = listener.accept()?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let echo = std::thread::spawn(move || {
        let mut block = [0; 1024];
        while far.read_exact(&mut block).is_ok() && far.write_all(&block).is_ok() {}
    });
    let mut block = [1; 1024];
    let times = repeat(time, || {
        near.write_all(&block)?;
        Ok(near.read_exact(&mut block)?)
    })?;
    drop(near);
    let _ = echo.join();
    Ok(vec![
        ("per_s", times.len() as f64 / time.as_secs_f64()),
        ("p50_us", median_us(times)),
    ])
}

/// AES-256-GCM over 16 KiB on one core, as the client library seals.
pub fn aes_gcm(time: Duration) -> Result<Values> {
    let cipher = Aes256Gcm::new_from_slice(&[7; 32]).ok().context("a key")?;
    let mut block = vec![1; 16 * 1024];
    let times = repeat(time, || {
        let sealed =
            cipher.encrypt_inout_detached(&Nonce::from([3; 12]), b"", block.as_mut_slice().into());
        sealed.map(drop).ok().context("sealed")
    })?;
    let rate = times.len() as f64 * block.len() as f64 / time.as_secs_f64();
    Ok(vec![("mb_per_s", rate / 1e6)])
}

/// TLS 1.3 with AES-256-GCM without a network: both ends on one core, sealing and opening.
pub fn tls(certificate: &Certificate, time: Duration) -> Result<Values> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let pem = |text: &str| text.as_bytes().to_vec();
    use rustls::pki_types::pem::PemObject;
    let chain = vec![rustls::pki_types::CertificateDer::from_pem_slice(&pem(
        &certificate.chain_pem,
    ))?];
    let key = rustls::pki_types::PrivateKeyDer::from_pem_slice(&pem(&certificate.key_pem))?;
    let server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    let mut near = ClientConnection::new(
        certificate.client.clone(),
        ServerName::try_from("localhost")?,
    )?;
    let mut far = ServerConnection::new(Arc::new(server))?;
    let mut pass = Vec::new();
    while near.is_handshaking() || far.is_handshaking() {
        carry(&mut near, &mut far, &mut pass)?;
        carry(&mut far, &mut near, &mut pass)?;
    }
    let mut block = vec![1; 16 * 1024];
    let times = repeat(time, || {
        near.writer().write_all(&block)?;
        carry(&mut near, &mut far, &mut pass)?;
        Ok(far.reader().read_exact(&mut block)?)
    })?;
    Ok(vec![(
        "mb_per_s",
        times.len() as f64 * block.len() as f64 / time.as_secs_f64() / 1e6,
    )])
}

/// Passes the output of one end to the other.
fn carry<A: SideData, B: SideData>(
    from: &mut ConnectionCommon<A>,
    to: &mut ConnectionCommon<B>,
    pass: &mut Vec<u8>,
) -> Result<()> {
    pass.clear();
    while from.wants_write() {
        from.write_tls(pass)?;
    }
    let mut there = &pass[..];
    while !there.is_empty() {
        to.read_tls(&mut there)?;
        to.process_new_packets()?;
    }
    Ok(())
}

/// redb alone: this many rows per commit, in order of arrival.
pub fn redb(folder: &Path, batch: u64, bytes: usize, time: Duration) -> Result<Values> {
    const ROWS: TableDefinition<u64, &[u8]> = TableDefinition::new("rows");
    let path = folder.join("redb");
    let database = Database::create(&path)?;
    let (value, mut next) = (vec![0xa5; bytes], 0_u64);
    let times = repeat(time, || {
        let transaction = database.begin_write()?;
        {
            let mut rows = transaction.open_table(ROWS)?;
            for _ in 0..batch {
                rows.insert(next, value.as_slice())?;
                next += 1;
            }
        }
        Ok(transaction.commit()?)
    })?;
    drop(database);
    std::fs::remove_file(path)?;
    let rate = times.len() as f64 * batch as f64 / time.as_secs_f64();
    Ok(vec![
        ("per_s", rate),
        ("p50_us", median_us(times)),
        ("mb_per_s", rate * bytes as f64 / 1e6),
    ])
}

/// Describes the machine in one sentence.
pub fn description() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("processor not named", |(_, model)| model.trim());
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let memory = read("/proc/meminfo");
    let kib = memory
        .lines()
        .next()
        .and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    let kernel = read("/proc/sys/kernel/osrelease");
    format!(
        "{cores} cores ({model}), {:.0} GiB of memory, Linux {}",
        kib.unwrap_or(0.0) / 1048576.0,
        kernel.trim()
    )
}
