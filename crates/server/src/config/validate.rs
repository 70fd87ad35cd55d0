//! From the written settings to a [`Config`]: all sections, and what must hold between them.

use super::Config;
use super::Files;
use super::check::Check;
use super::error::Errors;
use super::origin::Origins;
use super::paths::ProcessEnv;
use super::raw::Raw;
use super::tls::TlsMode;
use crate::http::Admission;
use crate::net::tls::TlsSetup;

/// Validates every option, and reports all errors at once, with those found before.
pub(super) fn validate(
    mut raw: Raw,
    origins: Origins,
    env: &ProcessEnv,
    files: Files,
    mut errors: Errors,
) -> Result<Config, Errors> {
    let check = Check { origins: &origins };
    let before = errors.count();
    ranges(&raw, &check, &mut errors);
    let config = build(&mut raw, &check, env, files, &mut errors);
    if before > 0 {
        errors.drop_unset_since(before);
    }
    match config {
        Some(mut config) if errors.is_empty() => {
            config.origins = origins;
            config.raw = raw;
            Ok(config)
        }
        _ => Err(errors),
    }
}

/// Ranges of single options.
fn ranges(raw: &Raw, check: &Check<'_>, errors: &mut Errors) {
    raw.server.ranges(check, errors);
    raw.storage.ranges(check, errors);
    raw.limits.ranges(check, errors);
    raw.accounts
        .ranges(check, raw.limits.envelope_size_max.0, errors);
    raw.rate_limits.ranges(check, errors);
    raw.sla.ranges(check, errors);
}

/// `None`: an error was noted.
fn build(
    raw: &mut Raw,
    check: &Check<'_>,
    env: &ProcessEnv,
    files: Files,
    errors: &mut Errors,
) -> Option<Config> {
    let mode = errors.take(raw.tls.mode(check));
    let tls = mode.and_then(|mode| tls_setup(raw, check, mode, errors));
    let http_listen = errors.take(raw.tls.http_listen(check));
    let listen = mode.and_then(|mode| errors.take(raw.server.listen(check, mode)));
    let domains = mode.and_then(|mode| errors.take(raw.server.domains(check, mode)));
    let region = domains
        .as_ref()
        .and_then(|domains| errors.take(raw.server.region(check, domains)));
    let data_dir = errors.take(raw.storage.data_dir(check, env));
    let registration = errors.take(raw.accounts.registration(check));
    let log = errors.take(raw.log.options(check));
    let admission = mode.and_then(|mode| admission(raw, check, mode, errors));
    let sla_terms = errors.take(raw.sla.terms(check));
    let metrics = errors.take(raw.metrics.listen(check));
    let canary_interval = errors.take(raw.health.canary_interval(check));
    let origins = admission
        .as_ref()
        .map(|admission| admission.allowed_origins.clone());
    let reloadable = origins
        .and_then(|origins| errors.take(raw.health.reloadable(check, &raw.metrics, origins)));
    // A certificate's domains can be connected to.
    let (tls, mut domains) = (tls?, domains?);
    if let (true, Some(TlsSetup::Acme(acme))) = (domains.is_empty(), &tls) {
        domains.clone_from(&acme.names);
    }
    let (listen, data_dir) = (listen?, data_dir?);
    raw.storage.data_dir = data_dir.display().to_string();
    raw.server.listen = listen.to_string();
    raw.server.domains.clone_from(&domains);
    let connections_max = raw.limits.connections_max as usize;
    Some(Config {
        listen,
        domains,
        tls_mode: mode?,
        tls,
        http_listen: http_listen?,
        data_dir,
        cache_bytes: usize::try_from(raw.storage.cache_size.0).unwrap_or(usize::MAX),
        journal_bytes: raw.storage.journal_size.0,
        min_free_bytes: raw.storage.min_free_space.0,
        ballast_bytes: raw.storage.ballast_size.0,
        registration: registration?,
        limits: raw.limits.protocol(&raw.accounts, &raw.storage),
        connections_max,
        frame_buffer_bytes: raw.limits.frame_buffer.0,
        handshake_timeout: raw.limits.handshake_timeout.0,
        header_timeout: raw.limits.header_timeout.0,
        body_timeout: raw.limits.body_timeout.0,
        auth_timeout: raw.limits.auth_timeout.0,
        write_timeout: raw.limits.write_timeout.0,
        close_timeout: raw.limits.close_timeout.0,
        shutdown_timeout: raw.server.shutdown_timeout.0,
        admission: admission?,
        rate_limits: raw.rate_limits.accounts(connections_max),
        sla_terms: sla_terms?,
        metrics: metrics?,
        canary_interval: canary_interval?,
        status_page: Some(region?).filter(|_| raw.health.status_page),
        reloadable: reloadable?,
        log: log?,
        files,
        origins: Origins::default(),
        raw: Raw::default(),
    })
}

/// The certificate source; the outer `None`: an error was noted.
fn tls_setup(
    raw: &Raw,
    check: &Check<'_>,
    mode: TlsMode,
    errors: &mut Errors,
) -> Option<Option<TlsSetup>> {
    let setup = match mode {
        TlsMode::Off | TlsMode::Proxy => return Some(None),
        TlsMode::SelfSigned => Ok(TlsSetup::SelfSigned),
        TlsMode::Manual => raw
            .tls
            .files(check)
            .map(|(certificate, key)| TlsSetup::Files { certificate, key }),
        TlsMode::Acme => {
            let has_http = !raw.tls.http_listen.is_empty();
            let setup = raw.acme.setup(check, &raw.server.domains, has_http);
            setup.map(TlsSetup::Acme)
        }
    };
    errors.take(setup).map(Some)
}

fn admission(
    raw: &Raw,
    check: &Check<'_>,
    mode: TlsMode,
    errors: &mut Errors,
) -> Option<Admission> {
    let trusted_proxies = errors.take(raw.server.trusted_proxies(check))?;
    let proxy_header = errors.take(raw.server.proxy_header(check, &trusted_proxies));
    let allowed_origins = errors.take(raw.server.allowed_origins(check));
    Some(Admission {
        crowd: raw
            .rate_limits
            .connections(raw.limits.connections_max as usize),
        // Behind a proxy that is not trusted, every connection has the proxy's address.
        by_address: mode != TlsMode::Proxy || !trusted_proxies.is_empty(),
        address_frames: raw.rate_limits.address_frames(),
        address_bytes: raw.rate_limits.address_bytes(),
        handshakes_max: raw.rate_limits.handshakes_max as usize,
        proxy_header: proxy_header?,
        trusted_proxies,
        allowed_origins: allowed_origins?,
    })
}
