/// Who could own an address together with others: the unit in which shares are counted (Spec 65.5). Addresses of one /16 (IPv4)
/// or /32 (IPv6) are likely one operator's, so an attacker needs many subnets, which cost more than many addresses.
///
/// Private and loopback addresses are given out by whoever runs the network, so each is a group of its own, port included on
/// loopback: a laboratory, a test and a single machine work as a network of strangers would. `AddressScope` keeps them from being
/// free subnets for an attacker elsewhere: such an address is believed only when told by a peer of that scope.

import MillraceBase

/// How far an address reaches.
enum AddressScope: UInt8, Comparable {
    /// 127.0.0.0/8, ::1.
    case loopback
    /// 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10, fc00::/7, fe80::/10.
    case site
    case global

    static func < (a: AddressScope, b: AddressScope) -> Bool { a.rawValue < b.rawValue }

    /// Nil for what is nobody's address: port 0, unspecified, multicast, reserved.
    init?(_ address: PeerAddress) {
        guard address.port != 0 else { return nil }
        if let ipv4 = address.ipv4 {
            switch ipv4 >> 24 {
            case 0, 224...255: return nil
            case 127: self = .loopback
            case 10: self = .site
            case 100 where ipv4 >> 22 & 3 == 1: self = .site
            case 169 where ipv4 >> 16 & 0xFF == 254: self = .site
            case 172 where ipv4 >> 20 & 0xF == 1: self = .site
            case 192 where ipv4 >> 16 & 0xFF == 168: self = .site
            default: self = .global
            }
            return
        }
        if address.high == 0 {
            // ::1 alone of all that begins with eight zero bytes and is not a mapped IPv4 address.
            guard address.low == 1 else { return nil }
            self = .loopback
            return
        }
        switch address.high >> 56 {
        case 0xFF: return nil
        case 0xFC, 0xFD: self = .site
        case 0xFE where address.high >> 54 & 3 == 2: self = .site
        default: self = .global
        }
    }

    /// Whether somebody heard from at `source` may tell us of an address of this scope: nobody can know a narrower network
    /// than the one in which we hear them.
    func isCredible(from source: AddressScope) -> Bool { self >= source }
}

struct SubnetGroup: Hashable, BitwiseCopyable {
    /// Kind in the top byte, prefix below it, so that groups of different kinds never meet.
    let value: UInt64

    init(_ address: PeerAddress) {
        let scope = AddressScope(address)
        if scope == .loopback {
            value = 1 << 56 | (address.low & 0xFFFF_FFFF) << 16 | UInt64(address.port)
        } else if let ipv4 = address.ipv4 {
            value = scope == .global ? 2 << 56 | UInt64(ipv4 >> 16) : 3 << 56 | UInt64(ipv4)
        } else if scope == .global {
            value = 4 << 56 | address.high >> 32
        } else {
            // A site's IPv6 address: its last 56 bits tell it from its neighbours.
            value = 5 << 56 | address.low & 0x00FF_FFFF_FFFF_FFFF
        }
    }
}
