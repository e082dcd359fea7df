//! Where the broker is.

use std::fmt;
use std::str::FromStr;

/// beanstalkd's port, unless another is named.
pub const DEFAULT_PORT: u16 = 11300;

/// Which broker is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BrokerUrl {
    /// `beanstalk://HOST[:PORT]`
    Beanstalkd {
        /// A name or an address, an IPv6 address without its brackets.
        host: String,
        /// Its port.
        port: u16,
    },
    /// `embedded`: the queue in the store's own file.
    Embedded,
}

impl Default for BrokerUrl {
    fn default() -> BrokerUrl {
        BrokerUrl::Beanstalkd {
            host: "127.0.0.1".into(),
            port: DEFAULT_PORT,
        }
    }
}

/// The text is no broker's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{text}' is no broker: write it as beanstalk://127.0.0.1:{DEFAULT_PORT}, or embedded for the queue in the store"
)]
pub struct BadBrokerUrl {
    text: String,
}

impl FromStr for BrokerUrl {
    type Err = BadBrokerUrl;

    fn from_str(text: &str) -> Result<BrokerUrl, BadBrokerUrl> {
        if text == "embedded" {
            return Ok(BrokerUrl::Embedded);
        }
        let bad = || BadBrokerUrl { text: text.into() };
        let address = text.strip_prefix("beanstalk://").ok_or_else(bad)?;
        let address = address.strip_suffix('/').unwrap_or(address);
        let (host, port) = match address.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or_else(bad)?;
                (
                    host,
                    port.strip_prefix(':').or(port.is_empty().then_some("")),
                )
            }
            None => match address.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (address, Some("")),
            },
        };
        let port = match port.ok_or_else(bad)? {
            "" if !address.ends_with(':') => DEFAULT_PORT,
            digits => digits.parse().map_err(|_| bad())?,
        };
        let odd = |c: char| c.is_whitespace() || c.is_control() || "/?#@[]".contains(c);
        if host.is_empty() || host.contains(odd) {
            return Err(bad());
        }
        Ok(BrokerUrl::Beanstalkd {
            host: host.into(),
            port,
        })
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BrokerUrl::Beanstalkd { host, port } if host.contains(':') => {
                write!(f, "beanstalk://[{host}]:{port}")
            }
            BrokerUrl::Beanstalkd { host, port } => write!(f, "beanstalk://{host}:{port}"),
            BrokerUrl::Embedded => f.write_str("embedded"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_are_read_and_written() {
        let table = [
            ("beanstalk://127.0.0.1:11300", "beanstalk://127.0.0.1:11300"),
            ("beanstalk://queue", "beanstalk://queue:11300"),
            ("beanstalk://queue:1/", "beanstalk://queue:1"),
            ("beanstalk://[::1]", "beanstalk://[::1]:11300"),
            ("beanstalk://[::1]:99", "beanstalk://[::1]:99"),
            ("embedded", "embedded"),
        ];
        for (text, written) in table {
            assert_eq!(text.parse::<BrokerUrl>().unwrap().to_string(), written);
        }
        for bad in [
            "",
            "127.0.0.1:11300",
            "beanstalk://",
            "beanstalk://:1",
            "beanstalk://a:",
            "beanstalk://a:b",
            "beanstalk://a:65536",
            "beanstalk://[::1",
            "beanstalk://[::1]x",
            "beanstalk://a b",
            "beanstalk://u@a",
            "redis://a",
            "Embedded",
            "embedded:",
            "embedded://t.db",
        ] {
            assert!(bad.parse::<BrokerUrl>().is_err(), "{bad} was read");
        }
    }
}
