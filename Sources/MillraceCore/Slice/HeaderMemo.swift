/// Slice headers that somebody decoded and hashed a moment ago. In a simulated network every node gets the same few hundred
/// bytes: what they say and what their hash is is found out once, and their copy is shared, where a thousand nodes' own copies
/// would be as many places in memory. A node on sockets has none (`Endpoint.headers` is nil).
///
/// Promises: what `decode` answers depends on the bytes alone, as if there were no memo. Bounds: `slots` headers of at most
/// 804 bytes; a later one takes the place of an earlier.

import MillraceBase
import MillraceWire

package final class HeaderMemo {
    /// Five seconds of slices, more than any two nodes are apart while the stream flows. A power of two.
    private static let slots = 1_024

    private var known: [DecodedHeader?] = Array(repeating: nil, count: slots)

    package init() {}

    func decode(_ bytes: RawSpan) throws(WireError) -> DecodedHeader {
        guard bytes.byteCount >= SliceHeader.fixedBytes else {
            return DecodedHeader(header: try SliceHeader.decode(bytes))
        }
        // The fixed fields end with the hash of the header before, which no two headers share.
        let tail = bytes.unsafeLoadUnaligned(fromByteOffset: SliceHeader.fixedBytes - 8, as: UInt64.self)
        let slot = Int(truncatingIfNeeded: tail) & (HeaderMemo.slots - 1)
        if let found = known[slot], let encoded = found.encoded, isEqual(encoded, bytes) { return found }
        var made = DecodedHeader(header: try SliceHeader.decode(bytes))
        made.hash = SliceHeader.hash(encoded: bytes)
        made.encoded = bytes.withUnsafeBytes { Array($0) }
        known[slot] = made
        return made
    }

    /// Eight bytes at a time: this is what a hit costs.
    private func isEqual(_ a: [UInt8], _ b: RawSpan) -> Bool {
        let (a, count) = (a.span.bytes, a.count)
        guard count == b.byteCount else { return false }
        var offset = 0
        while offset + 8 <= count {
            if a.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self)
                != b.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self)
            {
                return false
            }
            offset += 8
        }
        while offset < count {
            if a.unsafeLoad(fromByteOffset: offset, as: UInt8.self)
                != b.unsafeLoad(fromByteOffset: offset, as: UInt8.self)
            {
                return false
            }
            offset += 1
        }
        return true
    }
}

/// A header, and what else is known of its bytes where a memo has them.
struct DecodedHeader {
    let header: SliceHeader
    var hash: Hash32?
    /// The bytes, to be shared.
    var encoded: [UInt8]?

    init(header: SliceHeader) { self.header = header }
}
