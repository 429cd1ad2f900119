/// What a mini-block costs on the wire when nothing is lost and no parity is bought: the least that any receiver at c0 has to
/// carry. Follows from the frame and header tables (Spec 40.3, 50.4, 60.2).

import MillraceCore
import MillraceWire

public enum WireCost {
    /// UDP and IPv4 headers.
    static let packetBytes = 28
    /// Connection id, counter and tag around a datagram's frames.
    static let sessionBytes = 24
    /// A signed header without commitment: 124 bytes of fields, 64 of signature, and three of framing.
    static let headerBytes = 124 + 64 + 3
    /// Type, cadence, a four-byte height, slice index, stripe, and length.
    static let shredFrameBytes = 1 + 1 + 4 + 1 + 1 + 2

    /// Bytes on the wire of a mini-block of `payload` bytes whose slices have `parity` parity shreds that are not sent.
    public static func bytes(payload: Int, parity: Int) -> Int {
        let symbolBytesMax = SliceEncoder.symbolBytesMax(parityCount: parity)
        let perSlice = WireLimits.dataCountMax * symbolBytesMax
        let slices = max(1, (payload + perSlice - 1) / perSlice)
        let shreds = max(
            (payload + symbolBytesMax - 1) / symbolBytesMax, payload > 0 ? 1 : 0)
        let headers = slices * headerBytes + (shreds + slices * parity) * 12
        // A header shares a datagram with nothing when its shreds are full.
        let datagrams = shreds + slices
        return payload + headers + shreds * shredFrameBytes + datagrams * (packetBytes + sessionBytes)
    }
}
