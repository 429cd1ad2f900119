/// One description of a column for both directions. A method takes the value to write and gives the value that is in the
/// stream: a writer gives back what it was given, a reader ignores it (anything will do) and gives what it reads. What is
/// coded in terms of what went before then needs to be said once, and cannot differ between the two ends.

internal import MillraceBase

protocol ColumnCoder: ~Copyable {
    static var isReader: Bool { get }

    mutating func code(bit: Bool, _ index: Int) -> Bool
    mutating func code(raw: UInt64, bits: Int) -> UInt64
    mutating func code(symbol: Int, depth: Int, _ index: Int) -> Int
    mutating func code(number: UInt64, treeBits: Int, _ index: Int) -> UInt64
    mutating func code(index: Int, below bound: Int) -> Int
    mutating func code(word: U256) -> U256
    mutating func code(magnitude: U256, width tree8: Int, roundness: Int) throws(CodecError) -> U256
    mutating func code(gap: Int, _ model: inout GapModel) throws(CodecError) -> Int
    /// A writer writes what is there; a reader puts `count` there.
    mutating func code(newAccounts: inout [Address], count: Int) throws(CodecError)

    /// Work that what follows asks of its reader (`CodecLimits`). A reader refuses what its payload does not pay for.
    mutating func spend(_ work: Int) throws(CodecError)

    /// A reader has read past its end. Writers never do.
    var isOverrun: Bool { get }
    /// What has been written, in bits, to a fraction. 0 for readers.
    var bitsSpent: Double { get }
}

extension ColumnWriter: ColumnCoder {
    mutating func spend(_ work: Int) throws(CodecError) { self.work += work }
    static var isReader: Bool { false }
    var isOverrun: Bool { false }

    @inline(__always)
    mutating func code(bit: Bool, _ index: Int) -> Bool {
        self.bit(bit, index)
        return bit
    }
    @inline(__always)
    mutating func code(raw: UInt64, bits: Int) -> UInt64 {
        self.raw(raw, bits)
        return raw
    }
    @inline(__always)
    mutating func code(symbol: Int, depth: Int, _ index: Int) -> Int {
        tree(symbol, depth: depth, index)
        return symbol
    }
    mutating func code(number: UInt64, treeBits: Int, _ index: Int) -> UInt64 {
        self.number(number, treeBits: treeBits, index)
        return number
    }
    @inline(__always)
    mutating func code(index: Int, below bound: Int) -> Int {
        uniform(index, below: bound)
        return index
    }
    mutating func code(word: U256) -> U256 {
        self.word(word)
        return word
    }
    mutating func code(magnitude: U256, width tree8: Int, roundness: Int) throws(CodecError) -> U256 {
        self.magnitude(magnitude, width: tree8, roundness: roundness)
        return magnitude
    }
    @inline(__always)
    mutating func code(gap: Int, _ model: inout GapModel) throws(CodecError) -> Int {
        model.encode(gap, to: &self)
        return gap
    }
    mutating func code(newAccounts: inout [Address], count: Int) throws(CodecError) {
        NewKeys.encode(accounts: newAccounts, to: &self)
    }
}

extension ColumnReader: ColumnCoder {
    static var isReader: Bool { true }
    var bitsSpent: Double { 0 }

    @inline(__always)
    mutating func code(bit: Bool, _ index: Int) -> Bool { self.bit(index) }
    @inline(__always)
    mutating func code(raw: UInt64, bits: Int) -> UInt64 { self.raw(bits) }
    @inline(__always)
    mutating func code(symbol: Int, depth: Int, _ index: Int) -> Int { tree(depth: depth, index) }
    mutating func code(number: UInt64, treeBits: Int, _ index: Int) -> UInt64 {
        self.number(treeBits: treeBits, index)
    }
    @inline(__always)
    mutating func code(index: Int, below bound: Int) -> Int { uniform(below: bound) }
    mutating func code(word: U256) -> U256 { self.word() }
    mutating func code(magnitude: U256, width tree8: Int, roundness: Int) throws(CodecError) -> U256 {
        guard let value = self.magnitude(width: tree8, roundness: roundness) else { throw .badValue }
        return value
    }
    @inline(__always)
    mutating func code(gap: Int, _ model: inout GapModel) throws(CodecError) -> Int {
        try model.decode(from: &self)
    }
    mutating func code(newAccounts: inout [Address], count: Int) throws(CodecError) {
        newAccounts.removeAll(keepingCapacity: true)
        try NewKeys.decodeAccounts(count, isSingle: true, into: &newAccounts, from: &self)
    }
}
