//! Which addresses a plugin's request may go to. Everything that is not plainly the public internet is inside, until an administrator
//! grants its network.

use std::net::{IpAddr, Ipv4Addr};

/// A network, `10.1.0.0/16`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// From its usual form; an address alone is a network of one.
    pub fn parse(text: &str) -> Result<Network, String> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let bad = || format!("{text:?} is no network; write for example \"10.1.0.0/16\" or \"fd00:1::/32\"");
        let address = canonical(address.parse::<IpAddr>().map_err(|_| bad())?);
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => bits,
            Some(p) => p.parse::<u8>().ok().filter(|p| *p <= bits).ok_or_else(bad)?,
        };
        Ok(Network { address, prefix })
    }

    /// Whether an address is in it.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let same = |a: u128, b: u128, bits: u32| {
            let shift = bits - u32::from(self.prefix);
            shift >= bits || a >> shift == b >> shift
        };
        match (self.address, canonical(ip)) {
            (IpAddr::V4(a), IpAddr::V4(b)) => same(u32::from(a).into(), u32::from(b).into(), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => same(a.into(), b.into(), 128),
            _ => false,
        }
    }
}

/// An IPv4 address that is written as an IPv6 one is that IPv4 address.
pub fn canonical(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(ip, IpAddr::V4),
        IpAddr::V4(_) => ip,
    }
}

/// Whether an address is one of the public internet.
pub fn public(ip: IpAddr) -> bool {
    match canonical(ip) {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            !(v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_broadcast()
                || v4.is_multicast()
                || v4.is_documentation()
                || a == 0
                || a >= 240
                // Carriers' own, benchmarks, protocol assignments, and relays to IPv6.
                || (a == 100 && (64..128).contains(&b))
                || (a == 198 && (b == 18 || b == 19))
                || (a == 192 && b == 0 && c == 0)
                || (a == 192 && b == 88 && c == 99))
        }
        IpAddr::V6(v6) => {
            let [a, b, ..] = v6.segments();
            // A translated address leads to the IPv4 address in its end.
            if a == 0x64 && b == 0xff9b {
                let [.., w, x, y, z] = v6.octets();
                return public(IpAddr::V4(Ipv4Addr::new(w, x, y, z)));
            }
            // Global unicast is 2000::/3; within it, tunnels (6to4, Teredo) and documentation could lead back inside.
            (a & 0xe000) == 0x2000 && a != 0x2002 && !(a == 0x2001 && (b < 0x0200 || b == 0x0db8)) && a != 0x3fff
        }
    }
}

/// Whether a host is an address in a form that only some programs read as one: `0177.0.0.1`, `0x7f000001`, `2130706433`, `127.1`.
pub fn odd(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or(host);
    let number = last.starts_with(|c: char| c.is_ascii_digit()) && last.bytes().all(|c| c.is_ascii_alphanumeric());
    let hex = last.strip_prefix("0x").is_some_and(|h| h.bytes().all(|c| c.is_ascii_hexdigit()));
    let looks = (number && last.bytes().all(|c| c.is_ascii_digit())) || hex;
    looks && host.parse::<IpAddr>().is_err()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn inside_addresses_are_not_public() {
        for ip in [
            "127.0.0.1",
            "127.255.0.9",
            "10.0.0.1",
            "172.16.3.4",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.100.100.200",
            "0.0.0.0",
            "0.1.2.3",
            "192.0.0.192",
            "192.88.99.1",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "fe80::1",
            "fec0::1",
            "fd00:ec2::254",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:0:127.0.0.1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
        ] {
            assert!(!public(ip.parse().unwrap()), "{ip}");
        }
        for ip in ["93.184.216.34", "8.8.8.8", "::ffff:8.8.8.8", "2606:2800:220:1::1", "64:ff9b::808:808"] {
            assert!(public(ip.parse().unwrap()), "{ip}");
        }
    }

    #[test]
    fn networks_contain_what_is_in_them() {
        for (network, ip, within) in [
            ("10.1.0.0/16", "10.1.2.3", true),
            ("10.1.0.0/16", "10.2.2.3", false),
            ("10.1.0.0/16", "::ffff:10.1.2.3", true),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.4", false),
            ("0.0.0.0/0", "127.0.0.1", true),
            ("0.0.0.0/0", "::1", false),
            ("fd00:1::/32", "fd00:1:2::3", true),
            ("fd00:1::/32", "fd00:2::3", false),
            ("::/0", "fd00:2::3", true),
        ] {
            assert_eq!(Network::parse(network).unwrap().contains(ip.parse().unwrap()), within, "{network} {ip}");
        }
        for bad in ["", "10.1", "10.0.0.0/33", "x/8", "10.0.0.0/-1", "::/129"] {
            assert!(Network::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_in_disguise_are_seen() {
        for host in
            ["0177.0.0.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "127.1", "127.0.0.01", "1.2.3.4.5", "017700000001", "127.0.0.0x1"]
        {
            assert!(odd(host), "{host}");
        }
        for host in
            ["127.0.0.1", "example.com", "api2.example.com", "1.example.com", "3m.com", "localhost", "xn--p1ai", "::1", "::ffff:127.0.0.1"]
        {
            assert!(!odd(host), "{host}");
        }
    }
}
