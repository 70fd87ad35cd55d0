//! A harness for the real program: bounded in time, killed on drop.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Upper bound of any step, so that a broken program fails the test.
pub const LONG: Duration = Duration::from_secs(120);

/// Returns the path of the program under test, next to the directory of the test binaries.
///
/// # Panics
/// Panics if it is not built: run the tests with `--workspace` or `-p graceful-relay`.
pub fn path() -> PathBuf {
    let test = std::env::current_exe().expect("the test binary has a path");
    let folder = test
        .parent()
        .and_then(Path::parent)
        .expect("target/<profile>/deps");
    let program = folder.join(format!("graceful-relay{}", std::env::consts::EXE_SUFFIX));
    assert!(program.is_file(), "{} is not built", program.display());
    program
}

/// A running program. Killed on drop.
pub struct RunningProgram {
    child: Child,
    lines: Receiver<String>,
    errors: Option<JoinHandle<String>>,
}

/// Exit status and output of a program.
#[derive(Debug)]
pub struct CommandOutput {
    pub status: ExitStatus,
    pub out: String,
    pub err: String,
}

impl CommandOutput {
    /// Asserts success.
    pub fn success(self) -> Self {
        assert!(self.status.success(), "{self:?}");
        self
    }

    /// Asserts exit code 1 and an error message with these parts.
    pub fn failure(self, words: &[&str]) -> Self {
        self.ended_with(1, words)
    }

    /// Asserts exit code 78 (configuration error) and an error message with these parts.
    pub fn config_error(self, words: &[&str]) -> Self {
        self.ended_with(78, words)
    }

    fn ended_with(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.status.code(), Some(code), "{self:?}");
        for word in words {
            assert!(self.err.contains(word), "{word:?} is not in {}", self.err);
        }
        assert!(!self.err.contains("panicked"), "{}", self.err);
        self
    }

    /// Parses the output as JSON lines.
    pub fn json(&self) -> Vec<Value> {
        self.out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
            .collect()
    }
}

/// A home directory for the program.
pub struct Home {
    pub folder: tempfile::TempDir,
}

impl Home {
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn start(&self, arguments: &[&str], input: &str) -> RunningProgram {
        self.start_with(arguments, input, &[])
    }

    /// Starts the program with additional environment variables.
    pub fn start_with(
        &self,
        arguments: &[&str],
        input: &str,
        environment: &[(&str, &str)],
    ) -> RunningProgram {
        let mut command = Command::new(crate::program::path());
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.folder.path());
        command
            .env("TMPDIR", self.folder.path())
            .current_dir(self.folder.path());
        command.envs(environment.iter().copied());
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let mut stdin = child.stdin.take().expect("piped");
        // A program that does not read its input may have closed it.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let (sender, lines) = channel();
        let out = BufReader::new(child.stdout.take().expect("piped"));
        std::thread::spawn(move || {
            out.lines()
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        let mut err = child.stderr.take().expect("piped");
        let errors = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = err.read_to_string(&mut text);
            text
        });
        RunningProgram {
            child,
            lines,
            errors: Some(errors),
        }
    }

    pub fn run(&self, arguments: &[&str]) -> CommandOutput {
        self.start(arguments, "").wait()
    }

    /// Runs a client command with this profile.
    pub fn client(&self, profile: &str, arguments: &[&str]) -> CommandOutput {
        self.start_client(profile, arguments).wait()
    }

    pub fn start_client(&self, profile: &str, arguments: &[&str]) -> RunningProgram {
        let all: Vec<&str> = ["client", "--profile", profile]
            .into_iter()
            .chain(arguments.iter().copied())
            .collect();
        self.start(&all, "")
    }
}

impl RunningProgram {
    /// Returns the next line of standard output.
    pub fn line(&self) -> String {
        self.lines.recv_timeout(LONG).expect("a line")
    }

    pub fn json_line(&self) -> Value {
        serde_json::from_str(&self.line()).expect("JSON")
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills the program like `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().expect("it still runs");
        self.child.wait().expect("it ends");
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_some()
    }

    pub fn wait(mut self) -> CommandOutput {
        let deadline = Instant::now() + LONG;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        };
        let out = self.lines.iter().map(|line| line + "\n").collect();
        let err = self
            .errors
            .take()
            .and_then(|errors| errors.join().ok())
            .unwrap_or_default();
        CommandOutput { status, out, err }
    }
}

impl Drop for RunningProgram {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A relay on its own port.
pub struct Relay {
    pub running: RunningProgram,
    pub url: String,
}

impl Relay {
    pub fn start(home: &Home) -> Self {
        Self::start_on(home, "127.0.0.1:0")
    }

    pub fn start_on(home: &Home, listen: &str) -> Self {
        let running = home.start(
            &["serve", "--json", "--listen", listen, "--data-dir", "relay"],
            "",
        );
        let url = running.json_line()["url"]
            .as_str()
            .expect("a URL")
            .to_owned();
        Self { running, url }
    }

    /// Returns its address without the scheme.
    pub fn address(&self) -> &str {
        self.url.trim_start_matches("ws://")
    }

    pub fn invite(&self, home: &Home) -> String {
        let said = home
            .run(&["invite", "create", "--json", "--data-dir", "relay"])
            .success();
        said.json()[0]["invite"]
            .as_str()
            .expect("an invitation")
            .to_owned()
    }

    /// Waits until the relay stores no envelopes.
    pub fn wait_until_empty(&self, home: &Home) {
        let deadline = Instant::now() + LONG;
        loop {
            let status = home
                .run(&["status", "--json", "--data-dir", "relay"])
                .success()
                .json();
            if status[0]["envelopes"] == 0 {
                return;
            }
            assert!(Instant::now() < deadline, "{status:?}");
        }
    }

    pub fn create(&self, home: &Home, profile: &str, name: &str) {
        let invite = self.invite(home);
        let create = [
            "init",
            "--relay",
            &self.url,
            "--invite",
            &invite,
            "--name",
            name,
            "--device-id",
            profile,
        ];
        home.client(profile, &create).success();
    }
}

/// Pairs `new` with `existing` and returns the link.
pub fn pair(home: &Home, existing: &str, new: &str, name: &str) -> String {
    let pairing = home.start_client(existing, &["pair", "--yes", "--json"]);
    let link = pairing.json_line()["link"]
        .as_str()
        .expect("a link")
        .to_owned();
    home.client(new, &["join", &link, "--name", name, "--device-id", new])
        .success();
    let said = pairing.wait().success();
    assert_eq!(said.json()[0]["joined"]["name"], name);
    link
}

/// Returns JSON lines with distinct ids.
pub fn lines(from: u32, to: u32) -> Vec<String> {
    (from..to)
        .map(|number| {
            format!(r#"{{"id":"c{number}","amount": {number}.50,"text":"Grüße {number}"}}"#)
        })
        .collect()
}

pub fn write(path: &Path, lines: &[String]) {
    std::fs::write(
        path,
        lines
            .iter()
            .map(|line| format!("{line}\n"))
            .collect::<String>(),
    )
    .expect("written");
}

/// Returns the changes in a file of `pull --jsonl`, byte for byte.
pub fn changes(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).expect("a file");
    let change = |line: &str| {
        let (_, change) = line
            .split_once("\"change\":")
            .unwrap_or_else(|| panic!("{line}"));
        change
            .strip_suffix('}')
            .expect("the end of the line")
            .to_owned()
    };
    // A snapshot ends with a marker line, and a gap is not a change.
    let is_change = |line: &&str| !line.contains("\"snapshot\":{") && !line.contains("\"gap\":{");
    text.lines().filter(is_change).map(change).collect()
}
