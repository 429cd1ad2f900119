/// What the next bit of a contract's code will be: five contexts and a match model, mixed. Spec 30.11.2.
///
/// Code is short (5 KB) and a third of it is data no one foresees (selectors, topics, addresses), so what counts is learning
/// fast: few contexts, those that see the structure of EVM code (is this byte an operation or the operand of a PUSH, what
/// were the last three operations), and small counters. Tables hold cells of `Models`' kind in lines of 16, one line per
/// context and half byte; lines collide without check.
///
/// Integers only: predictions in 12 bits, logistic mixing in fixed point with tables made by interpolation. About 0.3 µs a
/// byte, which is why payloads pay for the bytes modelled here (Spec 30.3).

internal import MillraceBase

struct CodeModel: ~Copyable {
    private static var contexts: Int { 5 }
    private static var inputs: Int { 7 }
    private static var usesMax: UInt32 { 24 }
    private static var matchUsesMax: UInt32 { 127 }
    /// Lengths of a match as told apart: 0…15, below 24, below 32, up to 32.
    private static var matchKinds: Int { 20 }
    private static var cellStart: UInt32 { 1 << 31 }

    private let cells: UnsafeMutablePointer<UInt32>
    private let lineMask: UInt32
    private let cellCount: Int
    private let matchCells: UnsafeMutablePointer<UInt32>
    private let weights: UnsafeMutablePointer<Int>
    private let rates: UnsafeMutablePointer<UInt32>
    private let squashes: UnsafeMutablePointer<Int16>
    private let stretches: UnsafeMutablePointer<Int16>

    // The byte under way.
    private let lines: UnsafeMutablePointer<Int>
    private let hashes: UnsafeMutablePointer<UInt32>
    private let stretched: UnsafeMutablePointer<Int>
    private var node = 1
    /// Node within the half byte, bits to come.
    private var inLine = 1
    private var bitsLeft = 8
    private var weightBase = 0
    private var prediction = 0
    /// The byte a match foretells and how long the match has been; nothing where that is 0.
    private var foretold = 0
    private var matchLength = 0
    private var matchCell = 0

    // What came before, within one code.
    private var last: UInt32 = 0
    private var operations: UInt32 = 0
    private var pushLeft = 0
    private var pushLength = 0
    private var position: UInt32 = 0

    private static func lineCount(_ bytes: Int) -> Int {
        var lineCount = 64
        while lineCount < 4096, lineCount * 2 < bytes { lineCount *= 2 }
        return lineCount
    }

    /// Units of work that making a model for so many bytes takes: memory to be filled.
    static func workToMake(bytes: Int) -> Int { 2048 + 5 * lineCount(bytes) }

    /// For about `bytes` bytes.
    init(bytes: Int) {
        let lineCount = CodeModel.lineCount(bytes)
        lineMask = UInt32(lineCount - 1)
        cellCount = lineCount * 16 * CodeModel.contexts
        cells = .allocate(capacity: cellCount)
        cells.initialize(repeating: CodeModel.cellStart, count: cellCount)
        matchCells = .allocate(capacity: CodeModel.matchKinds)
        matchCells.initialize(repeating: CodeModel.cellStart, count: CodeModel.matchKinds)
        weights = .allocate(capacity: 8 * CodeModel.inputs)
        weights.initialize(repeating: 14_000, count: 8 * CodeModel.inputs)
        rates = .allocate(capacity: 128)
        for uses in 0..<128 { (rates + uses).initialize(to: UInt32(131_072 / (2 * uses + 3))) }
        squashes = .allocate(capacity: 4096)
        stretches = .allocate(capacity: 4096)
        lines = .allocate(capacity: CodeModel.contexts)
        lines.initialize(repeating: 0, count: CodeModel.contexts)
        hashes = .allocate(capacity: CodeModel.contexts)
        hashes.initialize(repeating: 0, count: CodeModel.contexts)
        stretched = .allocate(capacity: CodeModel.inputs)
        stretched.initialize(repeating: 0, count: CodeModel.inputs)
        makeTables()
    }

    deinit {
        cells.deallocate()
        matchCells.deallocate()
        weights.deallocate()
        rates.deallocate()
        squashes.deallocate()
        stretches.deallocate()
        lines.deallocate()
        hashes.deallocate()
        stretched.deallocate()
    }

    /// 4096 / (1 + e^(-x / 256)) for x = -2048 + 128 i.
    private static var curve: [Int] {
        [
            1, 2, 3, 6, 10, 16, 27, 45, 73, 120, 194, 310, 488, 747, 1101, 1546, 2047, 2549, 2994, 3348, 3607,
            3785,
            3901, 3975, 4022, 4050, 4068, 4079, 4085, 4089, 4092, 4093, 4094,
        ]
    }

    /// The logistic function by interpolation, and its inverse by search.
    private func makeTables() {
        let curve = CodeModel.curve
        for x in 0..<4096 {
            let (i, part) = (x >> 7, x & 127)
            (squashes + x).initialize(
                to: Int16(truncatingIfNeeded: (curve[i] * (128 - part) + curve[i + 1] * part + 64) >> 7))
        }
        var next = 0
        for x in 0..<4096 {
            let upTo = Int(squashes[x])
            while next <= upTo, next < 4096 {
                (stretches + next).initialize(to: Int16(x - 2048))
                next += 1
            }
        }
        while next < 4096 {
            (stretches + next).initialize(to: 2047)
            next += 1
        }
    }

    // MARK: Codes and bytes

    mutating func beginCode() { (last, operations, pushLeft, pushLength, position) = (0, 0, 0, 0, 0) }

    /// Notes a byte that was coded or copied.
    @inline(__always)
    mutating func pass(_ byte: UInt8) {
        last = last << 8 | UInt32(byte)
        position &+= 1
        if pushLeft > 0 {
            pushLeft &-= 1
        } else {
            operations = operations << 8 | UInt32(byte)
            if byte >= 0x60, byte <= 0x7F {
                pushLength = Int(byte) - 0x5F
                pushLeft = pushLength
            }
        }
    }

    /// Prepares for the bits of one byte. `foretold` is what the match model expects, `length` how far it has been right,
    /// 0 for no match.
    @inline(__always)
    mutating func beginByte(foretold: UInt8, length: Int) {
        let place = pushLeft > 0 ? UInt32(pushLength - pushLeft + 1) : 0
        let kind: UInt32 =
            switch pushLeft > 0 ? pushLength : 0 {
            case 0: 0
            case 1: 1
            case 2: place + 1
            case 4: 4
            case 20...: 6
            default: 5
            }
        let b1 = last & 0xFF
        hashes[0] = kind
        hashes[1] = b1 | kind << 8
        hashes[2] = last & 0xFFFF | (kind > 0 ? 1 << 16 : 0)
        hashes[3] = operations & 0xFF_FFFF | place << 24
        hashes[4] =
            pushLeft > 0
            ? place | UInt32(pushLength) << 6 | (position >> 7) << 12 | (place == 2 ? b1 << 24 : 0)
            : 1 << 28 | operations & 0xFFFF
        for i in 0..<CodeModel.contexts {
            hashes[i] = CodeModel.mixed(hashes[i] &+ UInt32(i) &* 0x3D4D_51CB &+ 1)
        }
        weightBase = Int(kind) * CodeModel.inputs
        (node, inLine, bitsLeft) = (1, 1, 8)
        self.foretold = Int(foretold)
        matchLength = length
        findLines(half: 0)
    }

    @inline(__always)
    private static func mixed(_ x: UInt32) -> UInt32 {
        var h = x &* 0x9E37_79B1
        h ^= h >> 15
        h = h &* 0x85EB_CA6B
        return h ^ h >> 13
    }

    /// The line of each context for the half byte to come: 1, or 16 + the upper half.
    @inline(__always)
    private func findLines(half: UInt32) {
        let tableCells = (Int(lineMask) + 1) * 16
        for i in 0..<CodeModel.contexts {
            let h = half == 0 ? hashes[i] : CodeModel.mixed(hashes[i] &+ half &* 0x9E37_79B1)
            lines[i] = i * tableCells + Int(h & lineMask) * 16
        }
    }

    // MARK: Bits

    /// The probability that the next bit is 1, of 4,096: from 1 to 4,095.
    @inline(__always)
    mutating func predict() -> UInt32 {
        for i in 0..<CodeModel.contexts {
            stretched[i] = Int(stretches[Int(cells[lines[i] + inLine] >> 20)])
        }
        var input = 0
        if matchLength > 0 {
            let bit = foretold >> (bitsLeft - 1) & 1
            matchCell =
                matchLength < 16
                ? matchLength : matchLength < 24 ? 16 : matchLength < 32 ? 17 : matchLength < 64 ? 18 : 19
            input = Int(stretches[Int(matchCells[matchCell] >> 20)])
            if bit == 0 { input = -input }
        }
        stretched[5] = input
        stretched[6] = 256
        var sum = 0
        for i in 0..<CodeModel.inputs { sum &+= weights[weightBase + i] &* stretched[i] }
        prediction = Int(squashes[min(max(sum >> 16, -2047), 2047) + 2048])
        return UInt32(truncatingIfNeeded: min(max(prediction, 1), 4095))
    }

    @inline(__always)
    mutating func update(_ bit: Bool) {
        let error = ((bit ? 4096 : 0) - prediction) * 12
        for i in 0..<CodeModel.inputs {
            let moved = weights[weightBase + i] + (stretched[i] * error + 0x2000) >> 14
            weights[weightBase + i] = min(max(moved, -(1 << 20)), 1 << 20)
        }
        for i in 0..<CodeModel.contexts {
            adapt(cells + lines[i] + inLine, bit, CodeModel.usesMax)
        }
        if matchLength > 0 {
            let isRight = (foretold >> (bitsLeft - 1) & 1 != 0) == bit
            adapt(matchCells + matchCell, isRight, CodeModel.matchUsesMax)
            if !isRight { matchLength = 0 }
        }
        node = node << 1 | (bit ? 1 : 0)
        inLine = inLine << 1 | (bit ? 1 : 0)
        bitsLeft &-= 1
        if bitsLeft == 4 {
            inLine = 1
            findLines(half: UInt32(truncatingIfNeeded: node))
        }
    }

    @inline(__always)
    private func adapt(_ cell: UnsafeMutablePointer<UInt32>, _ bit: Bool, _ usesMax: UInt32) {
        let value = cell.pointee
        let uses = value & 0x3FF
        let probability = Int64(value >> 10)
        let target: Int64 = bit ? 0x3F_FFFF : 0
        let moved = probability &+ (((target &- probability) &* Int64(rates[Int(uses)])) >> 16)
        cell.pointee = UInt32(truncatingIfNeeded: moved) << 10 | (uses < usesMax ? uses &+ 1 : uses)
    }

    /// The byte whose eight bits have been seen.
    var byte: UInt8 { UInt8(truncatingIfNeeded: node) }
}
