/// How many windows a node holds, and which go first.

import MillraceBase
import MillraceCrypto
import MillraceWire
import Testing

@testable import MillraceCore

private func header(_ cadence: Cadence, window: Int) -> SliceHeader {
    var header = SliceHeader()
    header.cadence = cadence
    header.firstHeight = UInt64(window) * cadence.heights + 1
    header.lastHeight = header.firstHeight + cadence.heights - 1
    header.payloadBytes = 2
    header.sliceBytes = 2
    header.sliceCount = 1
    header.dataCount = 1
    header.symbolBytes = 2
    header.shredHashes = [UInt8](repeating: 1, count: 2).withUnsafeBytes {
        [ShredHash(of: $0, stripe: 0, previousHeaderHash: .zero)]
    }
    return header
}

@Test(arguments: WindowMaker.cadences)
func `of each cadence so many windows are held, and the one used longest ago goes first`(cadence: Cadence)
    throws
{
    let store = WindowStore(bytesMax: 1 << 20, payloads: .carried)
    let most = WindowStore.windowsMax[Int(cadence.rawValue) - 1]
    var now = Instant.zero
    for window in 0..<most + 5 {
        now = now + .milliseconds(1)
        let header = header(cadence, window: window)
        let encoded = [UInt8](repeating: 0, count: 8)
        let record = store.admit(header, hash: .zero, encoded: encoded.span.bytes, now: now)
        #expect(record != nil)
        // Somebody asks for the first one again and again.
        store.entry(cadence, 1)?.usedAt = now
    }
    let span = cadence.heights
    #expect(store.entry(cadence, 1) != nil)
    #expect((1...5).allSatisfy { store.entry(cadence, UInt64($0) * span + 1) == nil })
    #expect((6..<most + 5).allSatisfy { store.entry(cadence, UInt64($0) * span + 1) != nil })
    #expect(store.bytes == most * 2)
}
