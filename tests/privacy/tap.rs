//! A tap that records all bytes between devices and relay and removes the WebSocket masks, since
//! masked bytes hide any needle.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// What passed on one connection, each way, and where the relay saw it come from.
#[derive(Clone)]
pub struct Passed {
    pub from: SocketAddr,
    pub up: Arc<Mutex<Vec<u8>>>,
    pub down: Arc<Mutex<Vec<u8>>>,
}

pub struct Tap {
    pub address: SocketAddr,
    passed: Arc<Mutex<Vec<Passed>>>,
    closing: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Tap {
    pub fn before(relay: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let passed = Arc::new(Mutex::new(Vec::new()));
        let closing = Arc::new(AtomicBool::new(false));
        let (kept, ended) = (passed.clone(), closing.clone());
        let accepting = std::thread::spawn(move || {
            for device in listener.incoming().map_while(Result::ok) {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(relay) = TcpStream::connect(relay) {
                    kept.lock().expect("not poisoned").push(pass(device, relay));
                }
            }
        });
        Self {
            address,
            passed,
            closing,
            accepting: Some(accepting),
        }
    }

    /// All connections so far.
    pub fn passed(&self) -> Vec<Passed> {
        self.passed.lock().expect("not poisoned").clone()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        let _ = self.accepting.take().expect("joined once").join();
    }
}

fn pass(device: TcpStream, relay: TcpStream) -> Passed {
    let from = relay.local_addr().expect("an address");
    let passed = Passed {
        from,
        up: Arc::default(),
        down: Arc::default(),
    };
    let clone = |stream: &TcpStream| stream.try_clone().expect("a handle");
    let (up, down) = (passed.up.clone(), passed.down.clone());
    let (from_device, to_relay) = (clone(&device), clone(&relay));
    std::thread::spawn(move || copy(from_device, to_relay, &up));
    std::thread::spawn(move || copy(relay, device, &down));
    passed
}

/// Recorded before it is passed on, so that an answered request is always in the record.
fn copy(mut from: TcpStream, mut to: TcpStream, kept: &Mutex<Vec<u8>>) {
    let mut part = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut part) {
        kept.lock()
            .expect("not poisoned")
            .extend_from_slice(&part[..read]);
        if to.write_all(&part[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

impl Passed {
    pub fn up_raw(&self) -> Vec<u8> {
        self.up.lock().expect("not poisoned").clone()
    }

    pub fn down_raw(&self) -> Vec<u8> {
        self.down.lock().expect("not poisoned").clone()
    }

    /// The messages of a WebSocket, one after the other, without masks; of anything else, nothing.
    pub fn up_messages(&self) -> Vec<u8> {
        if is_socket(&self.down_raw()) {
            messages(&self.up_raw())
        } else {
            Vec::new()
        }
    }

    pub fn down_messages(&self) -> Vec<u8> {
        let raw = self.down_raw();
        if is_socket(&raw) {
            messages(&raw)
        } else {
            Vec::new()
        }
    }
}

fn is_socket(answer: &[u8]) -> bool {
    answer.starts_with(b"HTTP/1.1 101")
}

/// What stands in the frames (RFC 6455, section 5.2) behind an HTTP head.
fn messages(raw: &[u8]) -> Vec<u8> {
    let mut payloads = Vec::new();
    let head = raw
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .map_or(raw.len(), |at| at + 4);
    let mut rest = &raw[head..];
    while let Some((payload, after)) = message(rest) {
        payloads.extend(payload);
        rest = after;
    }
    payloads
}

/// The first frame's payload and what follows; `None` at the end, or where the wire was cut.
fn message(bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let (&[_, second], mut rest) = bytes.split_first_chunk::<2>()?;
    let length = match second & 0x7f {
        126 => {
            let (length, after) = rest.split_first_chunk()?;
            rest = after;
            u64::from(u16::from_be_bytes(*length))
        }
        127 => {
            let (length, after) = rest.split_first_chunk()?;
            rest = after;
            u64::from_be_bytes(*length)
        }
        length => u64::from(length),
    };
    let mut mask = [0; 4];
    if second & 0x80 != 0 {
        let (found, after) = rest.split_first_chunk()?;
        (mask, rest) = (*found, after);
    }
    let (payload, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    Some((
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask)
            .collect(),
        after,
    ))
}
