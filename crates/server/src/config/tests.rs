//! Configurations from files, variables and flags, and the text of each error.

use std::path::PathBuf;

use super::*;
use crate::net::tls::Challenge;

struct Case {
    folder: tempfile::TempDir,
    sources: Sources,
}

impl Case {
    fn new(file: &str) -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("config.toml");
        std::fs::write(&path, file).expect("a file");
        let env = ProcessEnv {
            home: Some("/home/ann".into()),
            ..ProcessEnv::default()
        };
        let sources = Sources {
            file: Some(path),
            env,
            ..Sources::default()
        };
        Self { folder, sources }
    }

    fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.sources.environment.push((name.into(), value.into()));
        self
    }

    fn load(&self) -> Config {
        load(&self.sources).expect("a valid configuration")
    }

    /// The error, without the temporary directory.
    fn refusal(&self) -> String {
        let text = load(&self.sources).expect_err("an error").to_string();
        text.replace(&format!("{}/", self.folder.path().display()), "")
    }
}

fn refused(file: &str, expected: &str) {
    let text = Case::new(file).refusal();
    assert!(text.starts_with(expected), "said: {text}\nnot:  {expected}");
}

#[test]
fn defaults_serve_plain_text_on_loopback() {
    let config = Case::new("").load();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(
        config.data_dir,
        PathBuf::from("/home/ann/.local/share/graceful-relay")
    );
    assert_eq!(config.limits, graceful_protocol::Limits::default());
    assert_eq!(config.registration, Registration::Invite);
}

#[test]
fn later_source_overrides_earlier_one() {
    let mut case = Case::new("[server]\nlisten = \"127.0.0.1:1\"\n[log]\nlevel = \"warn\"");
    assert_eq!(case.load().listen.port(), 1);
    case = case.with_variable("GRACEFUL_RELAY_SERVER__LISTEN", "127.0.0.1:2");
    assert_eq!(case.load().listen.port(), 2);
    case.sources.flags.listen = Some("[::1]:3".to_owned());
    assert_eq!(case.load().listen.port(), 3);
    assert_eq!(case.load().log.level, LogLevel::Warn);
}

#[test]
fn config_d_overrides_the_file_in_name_order() {
    let case = Case::new("[storage]\nretention = \"1d\"\n[log]\nlevel = \"warn\"");
    let parts = case.folder.path().join("config.d");
    std::fs::create_dir(&parts).expect("a directory");
    let write = |name: &str, text: &str| std::fs::write(parts.join(name), text).expect("a file");
    write("20-more.toml", "[storage]\nretention = \"3d\"");
    write(
        "10-less.toml",
        "[storage]\nretention = \"2d\"\n[accounts]\ndevices_max = 4",
    );
    write("30-off.toml.bak", "[storage]\nretention = \"4d\"");
    let config = case.load();
    assert_eq!(
        (config.limits.retention_s, config.limits.account_devices_max),
        (3 * 86_400, 4)
    );
    assert_eq!(config.log.level, LogLevel::Warn);
    write("40-bad.toml", "[storage]\nretenton = \"3d\"");
    assert!(
        case.refusal()
            .starts_with("config.d/40-bad.toml, line 2, column 1: there is no setting")
    );
}

#[test]
fn log_output_is_validated() {
    let config = Case::new(
        "[log]\noutput = \"file\"\ndir = \"/var/log/relay\"\nformat = \"json\"\nretention = \"7d\"",
    )
    .load();
    assert_eq!(
        (config.log.output, config.log.json, config.log.files_max),
        (LogOutput::File, true, 7)
    );
    refused(
        "[log]\noutput = \"files\"",
        "config.toml, line 2, column 1: `log.output` is \"files\"; did you mean \"file\"?",
    );
    refused(
        "[log]\noutput = \"file\"",
        "defaults: `log.dir` is \"\"; `log.output` \"file\" needs an absolute path",
    );
}

#[test]
fn remote_metrics_need_a_token_or_consent() {
    refused(
        "[metrics]\nlisten = \"0.0.0.0:8917\"",
        "config.toml, line 2, column 1: `metrics.listen` is 0.0.0.0:8917",
    );
    let config = Case::new("[metrics]\nlisten = \"0.0.0.0:8917\"\nallow_remote = true").load();
    assert_eq!(
        config.metrics.address.map(|address| address.port()),
        Some(8917)
    );
    assert_eq!(
        Case::new("[metrics]\nlisten = \"\"").load().metrics.address,
        None
    );
    refused(
        "[health]\ncanary_interval = \"5s\"",
        "config.toml, line 2, column 1: `health.canary_interval` is 5s; it must be between 1m and 1d",
    );
}

#[test]
fn variables_parse_as_their_options() {
    let config = Case::new("")
        .with_variable("GRACEFUL_RELAY_TLS__MODE", "proxy")
        .with_variable("GRACEFUL_RELAY_SERVER__DOMAINS", "Relay.Example.org, [::1]")
        .with_variable("GRACEFUL_RELAY_SERVER__LISTEN", "0.0.0.0:80")
        .with_variable("GRACEFUL_RELAY_STORAGE__CACHE_SIZE", "32MiB")
        .with_variable("GRACEFUL_BOOKS", "not ours")
        .load();
    assert_eq!(config.domains, ["relay.example.org", "::1"]);
    assert_eq!(config.cache_bytes, 32 * 1024 * 1024);
}

#[test]
fn variable_names_the_file_which_must_exist() {
    let mut case = Case::new("[log]\nlevel = \"debug\"");
    let file = case.sources.file.take().expect("named");
    case = case.with_variable(FILE_VARIABLE, file.to_str().expect("UTF-8"));
    assert_eq!(case.load().log.level, LogLevel::Debug);
    case.sources.file = Some(case.folder.path().join("missing.toml"));
    assert_eq!(case.refusal(), "missing.toml: no such file");
}

#[test]
fn typos_are_reported_with_place_and_suggestion() {
    refused(
        "[server]\nlistne = \"127.0.0.1:1\"",
        "config.toml, line 2, column 1: there is no setting `server.listne`; did you mean `listen`?",
    );
    refused(
        "[sever]\n",
        "config.toml, line 1, column 2: there is no section [sever]; did you mean [server]?",
    );
    refused(
        "[server]\ndevices_max = 3",
        "config.toml, line 2, column 1: there is no setting `server.devices_max`; `devices_max` belongs in the section [accounts]",
    );
    refused(
        "listen = 1",
        "config.toml, line 1, column 1: `listen` belongs in the section [metrics] or [server]",
    );
    refused(
        "[log]\nbrightness = true",
        "config.toml, line 2, column 1: there is no setting `log.brightness`; [log] has ",
    );
    refused(
        "[billing]\n",
        "config.toml, line 1, column 2: there is no section [billing]; there are ",
    );
    refused(
        "server = 1",
        "config.toml, line 1, column 1: `server` is a section",
    );
}

#[test]
fn invalid_toml_is_reported_with_place() {
    refused("[server]\nlisten = ", "config.toml, line 2, column ");
    refused(
        "[log]\nlevel = \"info\"\nlevel = \"warn\"",
        "config.toml, line 3, column 1: duplicate key",
    );
}

#[test]
fn wrong_types_are_reported() {
    refused(
        "[tls]\nmode = true",
        "config.toml, line 2, column 8: `tls.mode` must be a string, like \"off\", not of type boolean",
    );
    refused(
        "[accounts]\ndevices_max = \"3\"",
        "config.toml, line 2, column 15: `accounts.devices_max` must be a whole number without quotes, not of type string",
    );
    refused(
        "[server]\ndomains = \"relay\"",
        "config.toml, line 2, column 11: `server.domains` must be a list of strings",
    );
    refused("[server]\ndomains = [1]", "config.toml, line 2, column ");
    refused(
        "[accounts]\ndevices_max = -1",
        "config.toml, line 2, column 1: `accounts.devices_max` must not be negative",
    );
    refused(
        "[accounts]\ndevices_max = 5_000_000_000",
        "config.toml, line 2, column 1: `accounts.devices_max` is too large a number",
    );
}

#[test]
fn values_out_of_range_are_reported_with_range() {
    refused(
        "[storage]\nretention = \"90d\"",
        "config.toml, line 2, column 1: `storage.retention` is 90d; it must be between 1d and 30d",
    );
    refused(
        "[limits]\nidle_timeout = \"40s\"",
        "config.toml, line 2, column 1: `limits.idle_timeout` is 40s; it must be between 1m and 1d",
    );
    refused(
        "[limits]\n\nenvelope_size_max = \"3000 KiB\"",
        "defaults: `limits.frame_size_max` is 1200 KiB; it must be between 3001 KiB and 16 MiB",
    );
    refused(
        "[accounts]\nregistration = \"opne\"",
        "config.toml, line 2, column 1: `accounts.registration` is \"opne\"; did you mean \"open\"?",
    );
    refused(
        "[log]\nlevel = \"chatty\"",
        "config.toml, line 2, column 1: `log.level` is \"chatty\"; it must be one of off, error,",
    );
    refused(
        "[storage]\ndata_dir = \"data\"",
        "config.toml, line 2, column 1: `storage.data_dir` is \"data\"; it must be an absolute path",
    );
}

#[test]
fn plain_text_beyond_loopback_needs_a_proxy() {
    refused(
        "[server]\nlisten = \"0.0.0.0:8080\"",
        "config.toml, line 2, column 1: `server.listen` is 0.0.0.0:8080, which other machines can reach, \
         but `tls.mode` is \"off\", so traffic would be plain text. Set `tls.mode` (\"self-signed\" needs nothing \
         else), or listen on 127.0.0.1",
    );
    refused(
        "[tls]\nmode = \"proxy\"",
        "config.toml, line 2, column 1: `tls.mode` is \"proxy\", so `server.domains` must list the domains",
    );
    refused(
        "[server]\nlisten = \"localhost\"",
        "config.toml, line 2, column 1: `server.listen` is \"localhost\"; it must be an IP address and a port",
    );
    let file = "[server]\nlisten = \"0.0.0.0:8080\"\ndomains = [\"relay.example.org\"]\n[tls]\nmode = \"proxy\"";
    assert_eq!(Case::new(file).load().listen.to_string(), "0.0.0.0:8080");
}

#[test]
fn tls_listens_on_every_address() {
    let config = Case::new("[tls]\nmode = \"self-signed\"").load();
    assert_eq!(
        (config.listen.to_string().as_str(), &config.tls),
        ("[::]:443", &Some(TlsSetup::SelfSigned))
    );
    assert_eq!(
        Case::new("[tls]\nmode = \"proxy\"\n[server]\ndomains = [\"a.example\"]")
            .load()
            .listen
            .port(),
        8080
    );
    let file = "[tls]\nmode = \"manual\"\ncertificate = \"/etc/c.pem\"\nkey = \"/etc/k.pem\"\nhttp_listen = \"[::]:80\"";
    let config = Case::new(file).load();
    let files = TlsSetup::Files {
        certificate: "/etc/c.pem".into(),
        key: "/etc/k.pem".into(),
    };
    assert_eq!(
        (config.tls, config.http_listen.map(|address| address.port())),
        (Some(files), Some(80))
    );
}

#[test]
fn acme_orders_for_the_domains() {
    let file = "[server]\ndomains = [\"Relay.example\"]\n[tls]\nmode = \"acme\"\n[acme]\naccept_tos = true";
    let setup = |file: &str| match Case::new(file).load().tls {
        Some(TlsSetup::Acme(setup)) => setup,
        other => panic!("{other:?}"),
    };
    let by_alpn = setup(file);
    assert_eq!(
        (by_alpn.challenge, by_alpn.own_port),
        (Challenge::TlsAlpn, Some(443))
    );
    assert_eq!(by_alpn.names, ["relay.example"]);
    let more = format!(
        "{file}\nemail = \"ann@relay.example\"\nself_check = false\ndomains = [\"a.example\"]"
    );
    let by_http = setup(&more.replace(
        "mode = \"acme\"",
        "mode = \"acme\"\nhttp_listen = \"[::]:80\"",
    ));
    assert_eq!(
        (by_http.challenge, by_http.own_port),
        (Challenge::Http, None)
    );
    assert_eq!(
        (by_http.names, by_http.contact.as_deref()),
        (vec!["a.example".to_owned()], Some("ann@relay.example"))
    );
    let alone = "[tls]\nmode = \"acme\"\n[acme]\naccept_tos = true\ndomains = [\"a.example\"]";
    assert_eq!(Case::new(alone).load().domains, ["a.example"]);
}

#[test]
fn incomplete_acme_options_are_reported() {
    let acme = |rest: &str| {
        format!("[server]\ndomains = [\"a.example\"]\n[tls]\nmode = \"acme\"\n[acme]\n{rest}")
    };
    refused(
        &acme(""),
        "defaults: `acme.accept_tos` is false; read the authority's terms of service",
    );
    refused(
        "[tls]\nmode = \"acme\"",
        "defaults: `server.domains` must list the domains",
    );
    refused(
        &acme("domains = [\"192.0.2.1\"]"),
        "config.toml, line 6, column 1: `acme.domains` has 192.0.2.1; ACME certificates are ordered for domains only",
    );
    refused(
        &acme("accept_tos = true\ndirectory_url = \"http://ca.example\""),
        "config.toml, line 7, column 1: `acme.directory_url` is \"http://ca.example\"; it must be a URL",
    );
    refused(
        &acme("accept_tos = \"yes\""),
        "config.toml, line 6, column 14: `acme.accept_tos` must be true or false, not of type string",
    );
    refused(
        &acme("accept_tos = true\nemail = \"ann\""),
        "config.toml, line 7, column 1: `acme.email` is \"ann\"",
    );
}

#[test]
fn proxies_and_origins_are_validated() {
    refused(
        "[server]\ntrusted_proxies = [\"10.0.0.0/33\"]",
        "config.toml, line 2, column 1: `server.trusted_proxies` has \"10.0.0.0/33\"; a network is",
    );
    refused(
        "[server]\nproxy_protocol = \"required\"",
        "config.toml, line 2, column 1: `server.proxy_protocol` needs `server.trusted_proxies`",
    );
    refused(
        "[server]\nproxy_protocol = \"of\"",
        "config.toml, line 2, column 1: `server.proxy_protocol` is \"of\"; did you mean \"off\"?",
    );
    for origin in [
        "app.example",
        "https://app.example/",
        "https://*.example",
        "https://",
    ] {
        let text = Case::new(&format!("[server]\nallowed_origins = [{origin:?}]")).refusal();
        assert!(text.contains("an origin is what browsers send"), "{text}");
    }
    refused(
        "[rate_limits]\nunauthenticated_max = \"95%\"",
        "config.toml, line 2, column 1: `rate_limits.unauthenticated_max` is 95%; it must be between 1% and 90%",
    );
}

#[test]
fn tls_options_without_effect_are_refused() {
    refused(
        "[tls]\nmode = \"selfsigned\"",
        "config.toml, line 2, column 1: `tls.mode` is \"selfsigned\"; did you mean \"self-signed\"?",
    );
    refused(
        "[tls]\nmode = \"manual\"",
        "defaults: `tls.certificate` is not set; `tls.mode` \"manual\" needs it",
    );
    refused(
        "[tls]\nmode = \"manual\"\ncertificate = \"/c.pem\"\nkey = \"k.pem\"",
        "config.toml, line 4, column 1: `tls.key` is \"k.pem\"; it must be an absolute path",
    );
    refused(
        "[tls]\ncertificate = \"/c.pem\"",
        "config.toml, line 2, column 1: `tls.certificate` is set, but has no effect while `tls.mode` is \"off\"; it is \
         for \"manual\"",
    );
    refused(
        "[tls]\nhttp_listen = \"[::]:80\"",
        "config.toml, line 2, column 1: `tls.http_listen` is set, but has no effect while `tls.mode` is \"off\"",
    );
}

#[test]
fn limits_per_ip_need_a_trusted_proxy() {
    let behind = "[tls]\nmode = \"proxy\"\n[server]\ndomains = [\"relay.example\"]\n";
    let config = Case::new(behind).load();
    assert!(!config.admission.by_address && config.warning().is_some());
    let config = Case::new(&format!("{behind}trusted_proxies = [\"127.0.0.1\"]")).load();
    assert!(config.admission.by_address && config.warning().is_none());
    assert!(Case::new("").load().admission.by_address);
}

#[test]
fn defaults_match_those_of_the_modules() {
    let config = Case::new("").load();
    assert_eq!(config.admission, crate::http::Admission::default());
    assert_eq!(config.rate_limits, crate::relay::RateLimits::default());
}

#[test]
fn domains_have_no_scheme_and_no_port() {
    for (name, why) in [
        ("https://relay.example.org", "without https://"),
        ("relay.example.org:443", "without a port"),
        ("relay..org", "single dots"),
        ("", "single dots"),
        ("relay.exämple.org", "xn--"),
    ] {
        let text = Case::new(&format!("[server]\ndomains = [{name:?}]")).refusal();
        assert!(text.contains(why), "{text}");
    }
}

#[test]
fn unknown_variables_are_refused() {
    let said = |name: &str, value: &str| Case::new("").with_variable(name, value).refusal();
    assert_eq!(
        said("GRACEFUL_RELAY_SERVER__LISTNE", "x"),
        "environment variable GRACEFUL_RELAY_SERVER__LISTNE: there is no such option; \
         did you mean GRACEFUL_RELAY_SERVER__LISTEN?"
    );
    assert!(said("GRACEFUL_RELAY_PORT", "1").contains("SECTION__KEY"));
    assert!(
        said("GRACEFUL_RELAY_SERVER__DEVICES_MAX", "1")
            .contains("belongs in the section [accounts]")
    );
    assert_eq!(
        said("GRACEFUL_RELAY_ACCOUNTS__DEVICES_MAX", "soon"),
        "environment variable GRACEFUL_RELAY_ACCOUNTS__DEVICES_MAX: `accounts.devices_max` must be a whole number"
    );
    assert_eq!(
        said("GRACEFUL_RELAY_STORAGE__RETENTION", "31d"),
        "environment variable GRACEFUL_RELAY_STORAGE__RETENTION: `storage.retention` is 31d; it must be between 1d and 30d"
    );
}

#[test]
fn wrong_flags_are_reported() {
    let mut case = Case::new("");
    case.sources.flags.listen = Some("8080".to_owned());
    assert!(
        case.refusal()
            .starts_with("--listen: `server.listen` is \"8080\"")
    );
}

#[test]
fn shown_config_loads_to_the_same_config() {
    let config =
        Case::new("[server]\ndomains = [\"Relay.Example\"]\n[storage]\nretention = \"3d\"").load();
    let mut again = Case::new(&config.to_toml()).load();
    again.files.clone_from(&config.files);
    again.origins.clone_from(&config.origins);
    assert_eq!(again, config);
}

/// Each option is in the example, commented out, at its default, below its own comment.
#[test]
fn example_has_every_option_at_its_default() {
    let example = super::reference::EXAMPLE;
    let mut table = toml::Table::new();
    let mut section = String::new();
    let mut previous = "";
    let mut found = 0;
    for line in example.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
            table.insert(section.clone(), toml::Table::new().into());
        }
        let option = line
            .strip_prefix('#')
            .filter(|rest| rest.starts_with(|first: char| first.is_ascii_lowercase()));
        if let Some((key, _)) = option.and_then(|option| option.split_once(" = ")) {
            assert!(previous.starts_with("# "), "{key} has no reason");
            let parsed: toml::Table = option.unwrap_or_default().parse().expect("TOML");
            table[&section]
                .as_table_mut()
                .expect("a section")
                .extend(parsed);
            found += 1;
        }
        previous = line;
    }
    let known = raw::defaults();
    let options: usize = known
        .values()
        .filter_map(toml::Value::as_table)
        .map(toml::Table::len)
        .sum();
    assert_eq!(table, known);
    assert_eq!(found, options);
    assert!(found > 20, "{found} options");
    toml::from_str::<raw::Raw>(example).expect("the example as it is changes nothing");
}

#[test]
fn all_errors_are_reported_by_source_and_line() {
    let file = "[server]\nlisten = \"nowhere\"\nlisen = \"x\"\n[log]\nlevel = \"loud\"\n[limits]\nping_interval = 5\n\
                connections_max = 0\n[storage]\ncache_size = \"32\"\n[moon]\n";
    let case = Case::new(file)
        .with_variable("GRACEFUL_RELAY_TLS__MOD", "off")
        .with_variable("GRACEFUL_RELAY_STORAGE__JOURNAL_SIZE", "much");
    let text = case.refusal();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let expected = [
        "the configuration has 9 errors:",
        "config.toml, line 2, column 1: `server.listen` is \"nowhere\"",
        "config.toml, line 3, column 1: there is no setting `server.lisen`; did you mean `listen`?",
        "config.toml, line 5, column 1: `log.level` is \"loud\"",
        "config.toml, line 7, column 17: `limits.ping_interval` must be a string, like \"30s\"",
        "config.toml, line 8, column 1: `limits.connections_max` is 0",
        "config.toml, line 10, column 1: `storage.cache_size` is \"32\"; a size needs a unit, like \"32 MiB\"",
        "config.toml, line 11, column 2: there is no section [moon]",
        "environment variable GRACEFUL_RELAY_STORAGE__JOURNAL_SIZE: `storage.journal_size` is \"much\"; a size must be",
        "environment variable GRACEFUL_RELAY_TLS__MOD: there is no such option; did you mean",
    ];
    assert_eq!(lines.len(), expected.len(), "{text}");
    for (line, begin) in lines.iter().zip(expected) {
        assert!(line.starts_with(begin), "said: {line}\nnot:  {begin}");
    }
}

#[test]
fn invalid_toml_hides_no_error_of_the_environment() {
    // The file may set domains, so a missing domain must not be reported.
    let case = Case::new("[server]\ndomains = [\n")
        .with_variable("GRACEFUL_RELAY_TLS__MODE", "proxy")
        .with_variable("GRACEFUL_RELAY_LOG__LEVLE", "info");
    let text = case.refusal();
    assert!(
        text.starts_with("the configuration has 2 errors") && text.contains("config.toml, line"),
        "{text}"
    );
    assert!(
        text.contains("did you mean GRACEFUL_RELAY_LOG__LEVEL?"),
        "{text}"
    );
}

#[test]
fn origin_of_each_option_is_shown() {
    let mut case = Case::new("[log]\nlevel = \"warn\"\n")
        .with_variable("GRACEFUL_RELAY_STORAGE__RETENTION", "3d");
    std::fs::create_dir(case.folder.path().join("config.d")).expect("a directory");
    std::fs::write(
        case.folder.path().join("config.d/a.toml"),
        "[accounts]\ndevices_max = 9\n",
    )
    .expect("written");
    case.sources.flags.listen = Some("127.0.0.1:3".to_owned());
    let all = case.load().effective();
    let of = |name: &str| {
        let (_, value, origin) = all
            .iter()
            .find(|(key, _, _)| key == name)
            .expect("an option");
        format!(
            "{value} {}",
            origin.replace(&format!("{}/", case.folder.path().display()), "")
        )
    };
    assert_eq!(of("log.level"), "\"warn\" config.toml, line 2, column 1");
    assert_eq!(
        of("accounts.devices_max"),
        "9 config.d/a.toml, line 2, column 1"
    );
    assert_eq!(
        of("storage.retention"),
        "\"3d\" environment variable GRACEFUL_RELAY_STORAGE__RETENTION"
    );
    assert_eq!(of("server.listen"), "\"127.0.0.1:3\" --listen");
    assert_eq!(
        of("limits.delivery_window")
            .rsplit_once("\" ")
            .map(|(_, origin)| origin),
        Some("defaults")
    );
}

#[cfg(unix)]
#[test]
fn token_comes_from_systemd_unless_a_file_is_set() {
    use std::os::unix::fs::PermissionsExt;
    let mut case = Case::new("");
    let folder = case.folder.path().to_owned();
    let write = |name: &str, mode: u32| {
        let _ = std::fs::remove_file(folder.join(name));
        std::fs::write(folder.join(name), "0123456789abcdef0123").expect("written");
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(folder.join(name), mode).expect("its own");
    };
    assert_eq!(case.load().reloadable.status_token, None);
    case.sources.env.credentials = Some(folder.clone().into_os_string());
    assert_eq!(
        case.load().reloadable.status_token,
        None,
        "no such credential"
    );
    write("status-token", 0o400);
    let config = case.load();
    assert!(config.reloadable.status_token.is_some() && config.reloadable.metrics_token.is_none());
    let origin = config
        .effective()
        .into_iter()
        .find(|(name, _, _)| name == "health.status_token_file");
    assert_eq!(
        origin.map(|(_, _, origin)| origin),
        Some("systemd credential status-token".to_owned())
    );
    write("status-token", 0o444);
    let text = case.refusal();
    assert!(
        text.starts_with("systemd credential status-token: `health.status_token_file`"),
        "{text}"
    );
    write("own", 0o400);
    let own = folder.join("own").display().to_string();
    let case = case.with_variable("GRACEFUL_RELAY_HEALTH__STATUS_TOKEN_FILE", &own);
    assert!(
        case.load().reloadable.status_token.is_some(),
        "the credential is ignored"
    );
}

/// Every old name, in a file and in the environment.
#[test]
fn old_names_are_refused_with_the_new_ones() {
    let known = raw::defaults();
    assert!(renamed::RENAMED.len() > 45);
    for (old, new) in renamed::RENAMED {
        let (section, key) = old.split_once('.').expect("a section");
        let (new_section, new_key) = new.split_once('.').expect("a section");
        assert!(known[new_section].get(new_key).is_some(), "{new}");
        let said = Case::new(&format!("[{section}]\n{key} = 1")).refusal();
        let expected = format!("config.toml, line 2, column 1: `{old}` is now `{new}`");
        assert!(
            said.starts_with(&expected),
            "said: {said}\nnot:  {expected}"
        );
        let variable = format!("GRACEFUL_RELAY_{section}__{key}").to_uppercase();
        let said = Case::new("").with_variable(&variable, "1").refusal();
        let new_variable = format!("GRACEFUL_RELAY_{new_section}__{new_key}").to_uppercase();
        let expected = format!("environment variable {variable}: this is now {new_variable}");
        assert!(
            said.starts_with(&expected),
            "said: {said}\nnot:  {expected}"
        );
    }
}

#[test]
fn old_names_and_missing_units_come_with_an_example() {
    refused(
        "[limits]\nsilence_s_max = 75",
        "config.toml, line 2, column 1: `limits.silence_s_max` is now `limits.idle_timeout`, with a unit: \
         idle_timeout = \"75s\"",
    );
    refused(
        "[limits]\nidle_timeout = \"75\"",
        "config.toml, line 2, column 1: `limits.idle_timeout` is \"75\"; a duration needs a unit, like \"75s\"",
    );
    refused(
        "[limits]\nidle_timeout = 75",
        "config.toml, line 2, column 16: `limits.idle_timeout` must be a string, like \"75s\", not of type integer",
    );
    refused(
        "[admission]\n",
        "config.toml, line 1, column 1: [admission] is now [rate_limits]",
    );
    refused(
        "[tls]\nmode = \"files\"",
        "config.toml, line 2, column 1: `tls.mode` is \"files\", which is now \"manual\"",
    );
    refused(
        "[server]\nproxy_protocol = \"optional\"\ntrusted_proxies = [\"127.0.0.1\"]",
        "config.toml, line 2, column 1: `server.proxy_protocol` is \"optional\", which the PROXY protocol",
    );
}

#[test]
fn rates_without_a_limit_are_unlimited() {
    let config =
        Case::new("[rate_limits]\nnew_accounts = \"unlimited\"\nper_ip_bandwidth = \"unlimited\"")
            .load();
    let unlimited = graceful_rules::rate::RateLimit::per_second(0);
    assert_eq!(config.rate_limits.accounts, unlimited);
    assert_eq!(config.admission.address_bytes, unlimited);
}
