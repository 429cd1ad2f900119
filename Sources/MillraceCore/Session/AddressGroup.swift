/// Whose address an address probably is: what limits per sender count by (Spec 50.8).
///
/// (`SubnetGroup` is wider: it says whom an operator may own. This one says whom one line may serve.)
/// A host has an IPv4 address or an IPv6 /64, a neighbourhood a /24 or a /48: that is what one customer is given. Addresses
/// that do not come through the internet (loopback, private, link-local) are not limited: nobody far away has them, and a
/// machine full of nodes is a test or an operator's own rack.

import MillraceBase
import MillraceCrypto

struct AddressGroup: Hashable, BitwiseCopyable {
    /// The part of the address that counts; the rest is zero.
    private let high: UInt64
    private let low: UInt64

    static func host(_ address: PeerAddress) -> AddressGroup {
        AddressGroup(high: address.high, low: address.ipv4 == nil ? 0 : address.low)
    }

    static func neighbourhood(_ address: PeerAddress) -> AddressGroup {
        if address.ipv4 != nil { return AddressGroup(high: 0, low: address.low & ~0xFF) }
        return AddressGroup(high: address.high & ~0xFFFF, low: 0)
    }

    private init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// Bytes that stand for it in a hash: 16, and one that keeps hosts and neighbourhoods apart.
    func hash(_ hash: SipHash24, salt: UInt8) -> UInt64 {
        var bytes: [UInt8] = [salt]
        bytes.appendLittleEndian(high)
        bytes.appendLittleEndian(low)
        return bytes.withUnsafeBytes { hash.hash($0) }
    }

    /// Whether it does not come through the internet (`AddressScope`).
    static func isLocal(_ address: PeerAddress) -> Bool {
        AddressScope(address).map { $0 != .global } ?? false
    }
}
