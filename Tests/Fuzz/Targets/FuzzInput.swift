/// A fuzzer's bytes as a list of choices: each read takes what is there, and zeroes once nothing is. Operation lists
/// for cores are read with it.

struct FuzzInput {
    private let bytes: UnsafeRawBufferPointer
    private var offset = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    var isAtEnd: Bool { offset >= bytes.count }

    mutating func u8() -> UInt8 {
        guard offset < bytes.count else { return 0 }
        offset += 1
        return bytes[offset - 1]
    }

    mutating func u16() -> UInt16 { UInt16(u8()) | UInt16(u8()) << 8 }
    mutating func u32() -> UInt32 { UInt32(u16()) | UInt32(u16()) << 16 }

    /// A number in `0..<bound`; the caller owes 0 < bound ≤ 65,536.
    mutating func below(_ bound: Int) -> Int { Int(u16()) % bound }

    /// At most `count` bytes.
    mutating func bytes(_ count: Int) -> [UInt8] {
        let end = min(bytes.count, offset + count)
        defer { offset = end }
        return Array(bytes[min(offset, end)..<end])
    }
}

/// Traps with a sentence when a promise is broken. In release builds too.
func promise(_ kept: Bool, _ sentence: @autoclosure () -> String) {
    precondition(kept, sentence())
}
