/// What the nodes of a simulation know of headers together is what each would have found out alone.

import MillraceBase
import MillraceWire
import Testing

@testable import MillraceCore

@Test func `a header that others have decoded says the same, whatever lay in its place`() throws {
    let memo = HeaderMemo()
    var differing = 0
    for i in 1...40 as ClosedRange<UInt64> {
        // The hash of the header before is zero in each: all want the same place.
        var header = SliceHeader()
        (header.firstHeight, header.lastHeight) = (i, i)
        let bytes = header.encoded
        for _ in 0..<2 {
            let found = try memo.decode(bytes.span.bytes)
            if found.header != header || found.hash != header.hash || found.encoded != bytes {
                differing += 1
            }
        }
        // Garbled anywhere, or cut off, it is what its bytes say: another header or an error.
        for place in bytes.indices {
            var garbled = bytes
            garbled[place] ^= 0x41
            let alone = try? SliceHeader.decode(garbled.span.bytes)
            if (try? memo.decode(garbled.span.bytes))?.header != alone { differing += 1 }
        }
        let short = Array(bytes.dropLast(Int(i)))
        if (try? memo.decode(short.span.bytes)) != nil { differing += 1 }
    }
    #expect(differing == 0)
}
