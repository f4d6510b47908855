//! The endpoints of `listeners` and `advertised.listeners`.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs};

/// One endpoint that clients connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Name, in capitals.
    pub name: String,
    /// Host to bind; `None` for all addresses, IPv4 and IPv6.
    pub host: Option<String>,
    /// Port to bind; 0 lets the operating system choose.
    pub port: u16,
    /// Host that clients are told; `None` tells each the address at which it reached the broker.
    pub advertised_host: Option<String>,
    /// Port that clients are told; `None` tells the one that was bound.
    pub advertised_port: Option<u16>,
}

impl Listener {
    /// The address to bind, which may ask a name server.
    ///
    /// # Errors
    ///
    /// If the host has no address.
    pub fn bind_address(&self) -> io::Result<SocketAddr> {
        match &self.host {
            None => Ok(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), self.port)),
            Some(host) => {
                let none = || io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address"));
                (host.as_str(), self.port).to_socket_addrs()?.next().ok_or_else(none)
            }
        }
    }
}

/// `NAME://host:port` as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) name: String,
    /// `None` if there is none.
    pub(super) host: Option<String>,
    pub(super) port: u16,
}

impl Endpoint {
    /// Reads one endpoint; the error says what was expected.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let expected = || format!("`{text}` is not NAME://host:port");
        let (name, address) = text.split_once("://").ok_or_else(expected)?;
        let (host, port) = address.rsplit_once(':').ok_or_else(expected)?;
        let port = port.parse().map_err(|_| format!("`{text}` has no port from 0 to 65535"))?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = bracketed.unwrap_or(host);
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || !name.chars().all(is_name) {
            return Err(format!("`{text}` has no listener name before ://"));
        }
        if bracketed.is_none() && host.contains([':', '/', '@', ' ']) {
            return Err(expected());
        }
        if bracketed.is_some() && host.parse::<Ipv6Addr>().is_err() {
            return Err(format!("`{text}` has no IPv6 address between [ and ]"));
        }
        let host = (!host.is_empty()).then(|| host.to_owned());
        Ok(Self { name: name.to_ascii_uppercase(), host, port })
    }

    /// Whether the host stands for all addresses.
    pub(super) fn is_wildcard(&self) -> bool {
        match &self.host {
            None => true,
            Some(host) => host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified()),
        }
    }
}

/// The items of a list, without empty ones.
pub(super) fn items(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read() {
        let cases = [
            ("PLAINTEXT://:9092", "PLAINTEXT", None, 9092),
            ("plaintext://localhost:0", "PLAINTEXT", Some("localhost"), 0),
            ("A_b-1.c://10.0.0.1:1", "A_B-1.C", Some("10.0.0.1"), 1),
            ("X://[::1]:65535", "X", Some("::1"), 65535),
            ("X://0.0.0.0:9", "X", Some("0.0.0.0"), 9),
        ];
        for (text, name, host, port) in cases {
            let endpoint = Endpoint { name: name.to_owned(), host: host.map(str::to_owned), port };
            assert_eq!(Endpoint::parse(text), Ok(endpoint), "{text}");
        }
        for text in [
            "",
            "9092",
            "localhost:9092",
            "://h:1",
            "X://h",
            "X://h:",
            "X://h:65536",
            "X://h:-1",
            "X://::1:9092",
            "X://[zz]:1",
            "X Y://h:1",
            "X://a/b:1",
            "X://u@h:1",
        ] {
            assert!(Endpoint::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn wildcards_are_recognised() {
        for (host, wildcard) in [("", true), ("0.0.0.0", true), ("[::]", true), ("localhost", false), ("[::1]", false)]
        {
            assert_eq!(Endpoint::parse(&format!("X://{host}:1")).unwrap().is_wildcard(), wildcard, "{host}");
        }
    }
}
