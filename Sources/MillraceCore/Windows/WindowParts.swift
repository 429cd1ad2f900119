/// A relay's own making of windows that come in parts (Spec 30.15, 60.13.3): these are the payloads that it carried at c0, one
/// behind the other, so all that it lacks of one is the sequencer's signature.
///
///     c0, complete   │ 1 │ 2 │ 3 │ … │ 10 │ ──▶ bytes of the window ──▶ slice's share ──▶ symbols, each beside its signed hash
///     parents        ── header of the slice, signed ───────────────────────┘
///
/// Promises: nothing but what the header's hashes vouch for is put in. A window told by values, or made of other bytes, gives
/// nothing, and is fetched like any other.
///
/// Bounds: the bytes of one window are kept, since its slices are asked for one after the other (`Limits.payloadBytesMax`); a
/// look at what is held costs one load for each of at most a hundred heights.

import MillraceBase
import MillraceCodec
import MillraceWire

final class WindowParts {
    /// Those that are never told by values.
    static let cadences: [Cadence] = [.c1, .c2]

    private let store: SliceStore
    private let payloads: PayloadForm
    /// The window made last.
    private var made: (cadence: Cadence, firstHeight: UInt64, bytes: [UInt8])?

    init(store: SliceStore, payloads: PayloadForm) {
        self.store = store
        self.payloads = payloads
    }

    /// Whether all mini-blocks of the slice's window are here.
    func canMake(_ key: SliceKey) -> Bool {
        guard WindowParts.cadences.contains(key.cadence) else { return false }
        var height = key.firstHeight
        let end = height + key.cadence.heights
        while height < end {
            guard let entry = store.entry(height), entry.isComplete else { return false }
            height = entry.lastHeight + 1
        }
        return true
    }

    /// Puts what is missing of the slice's data in its place. Answers what was put there.
    func fill(_ record: SliceRecord) -> StripeSet {
        var filled = StripeSet.empty
        guard canMake(record.key) else { return filled }
        let slice = record.assembler
        let symbolBytes = Int(slice.header.symbolBytes)
        if payloads == .byReference {
            let absent = UnsafeRawBufferPointer(start: SliceAssembler.absentSymbol, count: symbolBytes)
            for stripe in 0..<Int(slice.header.dataCount) { insert(absent, stripe, in: slice, &filled) }
            return filled
        }
        guard let bytes = window(record.key), bytes.count == Int(slice.header.payloadBytes) else {
            return filled
        }
        let share = slice.header.payloadRange
        bytes.withUnsafeBytes { bytes in
            for stripe in 0..<Int(slice.header.dataCount) {
                let start = share.lowerBound + stripe * symbolBytes
                if start + symbolBytes <= share.upperBound {
                    let symbol = UnsafeRawBufferPointer(rebasing: bytes[start..<start + symbolBytes])
                    insert(symbol, stripe, in: slice, &filled)
                } else {
                    // The last ones end in zeroes.
                    var padded = [UInt8](bytes[min(start, share.upperBound)..<share.upperBound])
                    padded.append(contentsOf: repeatElement(0, count: symbolBytes - padded.count))
                    padded.withUnsafeBytes { insert($0, stripe, in: slice, &filled) }
                }
            }
        }
        return filled
    }

    private func insert(
        _ symbol: UnsafeRawBufferPointer, _ stripe: Int, in slice: SliceAssembler, _ filled: inout StripeSet
    ) {
        switch slice.insert(symbol, stripe: stripe) {
        case .stored, .completed: filled.insert(stripe)
        // Other bytes than the sequencer's: nobody's offence.
        case .duplicate, .forged: break
        }
    }

    /// The bytes of a window whose mini-blocks are all here.
    private func window(_ key: SliceKey) -> [UInt8]? {
        if let made, made.cadence == key.cadence, made.firstHeight == key.firstHeight { return made.bytes }
        made = nil
        var bytes = WindowForm.emptyParts
        for height in key.firstHeight..<key.firstHeight + key.cadence.heights {
            guard let entry = store.entry(height) else { return nil }
            var parts: [UnsafeRawBufferPointer] = []
            // A run of empty mini-blocks has no bytes at any height.
            for record in entry.slices {
                guard let part = record?.assembler.data else { return nil }
                parts.append(part)
            }
            let count = parts.reduce(0) { $0 + $1.count }
            if bytes.count + count > Limits.payloadBytesMax { return nil }
            bytes.appendVarint(UInt64(count))
            for part in parts { bytes.append(contentsOf: part) }
        }
        made = (key.cadence, key.firstHeight, bytes)
        return bytes
    }
}
