/// The column of new codes: their lengths, then the bytes of each through `CodeModel`. Where a match has held for
/// `copyAfter` bytes, a bit says whether more follow it in one go: so a clone costs a few bytes, and no time to speak of.
/// Spec 30.11.1.
///
/// The encoder and the decoder walk through the same steps (`Walk`); what a step does with a byte is all that differs.

internal import MillraceBase
internal import MillraceDiff

struct CodeColumn: ~Copyable {
    /// A match this long is asked for its continuation.
    private static var copyAfter: Int { 32 }
    /// Fewer bytes than this the encoder leaves to the model.
    private static var copyMin: Int { 16 }
    private static var lengthMax: Int { 255 }
    private static var shadowBytes: Int { 32 }

    private var history = CodeHistory()
    /// Where the match at hand goes on, and for how many bytes it has been right; 0 for none.
    private var place = 0
    private var length = 0
    private var isAsked = false
    /// Where a long match that was lost would go on, had one byte been another; for so many bytes more.
    private var shadow = 0
    private var shadowLeft = 0

    // MARK: Encoder

    mutating func encode(_ codes: [[UInt8]], base: State, to writer: inout ColumnWriter) {
        guard !codes.isEmpty else { return }
        var total = 0
        for code in codes {
            total += code.count
            writer.number(UInt64(code.count), treeBits: ModelMap.longNumberBits, ModelMap.codeLength)
        }
        writer.work += codes.count * CodecLimits.workPerCode + total * CodecLimits.workPerCodeByte
        writer.work += CodeModel.workToMake(bytes: total)
        history.begin(base)
        history.reserve(total)
        var model = CodeModel(bytes: total)
        for code in codes {
            beginCode(&model)
            var i = 0
            while i < code.count {
                if isToAsk {
                    isAsked = true
                    var run = 0
                    while i + run < code.count, expected(run) == code[i + run] { run += 1 }
                    let copies = run >= CodeColumn.copyMin
                    writer.bit(copies, ModelMap.codeCopies)
                    if copies {
                        writer.number(UInt64(run), treeBits: ModelMap.longNumberBits, ModelMap.codeCopyLength)
                        copy(run, &model)
                        i += run
                        continue
                    }
                }
                let byte = code[i]
                model.beginByte(foretold: foretold, length: length)
                for bit in (0..<8).reversed() {
                    let one = byte >> UInt8(bit) & 1 != 0
                    writer.range.encode(one, probability: model.predict())
                    model.update(one)
                }
                writer.work += CodecLimits.workPerModelledByte
                take(byte, &model)
                i += 1
            }
        }
    }

    // MARK: Decoder

    mutating func decode(
        _ count: Int, base: State, into codes: inout [[UInt8]], from reader: inout ColumnReader
    ) throws(CodecError) {
        guard count > 0 else { return }
        try reader.spend(count * CodecLimits.workPerCode)
        var lengths: [Int] = []
        lengths.reserveCapacity(count)
        var total = 0
        for _ in 0..<count {
            let length = reader.number(treeBits: ModelMap.longNumberBits, ModelMap.codeLength)
            guard length > 0, length <= UInt64(CodecLimits.codeBytesMax) else { throw .badCount(.codeBytes) }
            try reader.spend(Int(length) * CodecLimits.workPerCodeByte)
            lengths.append(Int(length))
            total += Int(length)
        }
        try reader.spend(CodeModel.workToMake(bytes: total))
        if reader.isOverrun { throw .truncated }
        history.begin(base)
        history.reserve(total)
        var model = CodeModel(bytes: total)
        for codeLength in lengths {
            beginCode(&model)
            let start = history.count
            var left = codeLength
            while left > 0 {
                if isToAsk {
                    isAsked = true
                    if reader.bit(ModelMap.codeCopies) {
                        let run = reader.number(treeBits: ModelMap.longNumberBits, ModelMap.codeCopyLength)
                        guard run > 0, run <= UInt64(left) else { throw .badValue }
                        copy(Int(run), &model)
                        left -= Int(run)
                        continue
                    }
                }
                try reader.spend(CodecLimits.workPerModelledByte)
                model.beginByte(foretold: foretold, length: length)
                for _ in 0..<8 { model.update(reader.range.decode(probability: model.predict())) }
                take(model.byte, &model)
                left -= 1
                if left & 63 == 0, reader.isOverrun { throw .truncated }
            }
            codes.append(
                Array(UnsafeBufferPointer(start: history.text.base + start, count: history.count - start)))
        }
        if reader.isOverrun { throw .truncated }
    }

    // MARK: Both

    private mutating func beginCode(_ model: inout CodeModel) {
        model.beginCode()
        // A code may be as the one before it: nothing else is to go by.
        (place, length, isAsked, shadowLeft) = (history.newestStart, 1, false, 0)
        history.beginCode()
    }

    private var isToAsk: Bool { length >= CodeColumn.copyAfter && !isAsked }
    private var foretold: UInt8 { history.text.base[place] }

    /// The byte that a copy has at `offset`; it may reach into what it copies itself.
    private func expected(_ offset: Int) -> UInt8 {
        let at = place + offset
        return at < history.count
            ? history.text.base[at] : history.text.base[place + offset % (history.count - place)]
    }

    @inline(__always)
    private mutating func take(_ byte: UInt8, _ model: inout CodeModel) {
        if shadowLeft > 0 {
            shadow &+= 1
            shadowLeft &-= 1
        }
        if length > 0, foretold == byte {
            place &+= 1
            length = min(length &+ 1, CodeColumn.lengthMax)
        } else {
            if length >= CodeColumn.copyAfter { (shadow, shadowLeft) = (place &+ 1, CodeColumn.shadowBytes) }
            length = 0
        }
        history.add(byte)
        model.pass(byte)
        if length == 0 {
            isAsked = false
            if let found = history.match() {
                (place, length) = found
            } else if shadowLeft > 0 {
                (place, length) = (shadow, 1)
            }
        }
        history.indexEnd()
    }

    private mutating func copy(_ count: Int, _ model: inout CodeModel) {
        for _ in 0..<count {
            let byte = foretold
            history.add(byte)
            model.pass(byte)
            place &+= 1
        }
        // As the copy ends here, the next byte is another.
        length = 0
        (shadow, shadowLeft) = (place, CodeColumn.shadowBytes + 1)
    }
}
