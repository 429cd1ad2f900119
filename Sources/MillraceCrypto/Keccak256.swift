/// Keccak-256 as Ethereum uses it: the one hash written here, because no system library offers it (SHA3-256 differs in
/// one padding byte). Any number of bytes in, 32 out; no state between calls, no allocation.
///
/// The hot case is 64 bytes, one permutation: the slot of a mapping entry. It is built straight from words, so nothing
/// is copied. The permutation keeps its 25 lanes in local variables: an array or a buffer of lanes costs bounds checks and
/// memory traffic at each of 24 rounds. Lanes are little-endian, as FIPS 202 has them.

internal import CKeccak
public import MillraceBase

public enum Keccak256 {
    /// Bytes absorbed per permutation: 1,600 bits of state less twice 256 of capacity.
    static let rateBytes = 136

    public static func hash(_ bytes: UnsafeRawPointer, count: Int) -> Hash32 {
        Sponge.hash(bytes, count: count, domain: 0x01)
    }

    public static func hash(_ bytes: UnsafeRawBufferPointer) -> Hash32 {
        guard let base = bytes.baseAddress else { return emptyHash }
        return hash(base, count: bytes.count)
    }

    public static func hash(_ span: RawSpan) -> Hash32 { span.withUnsafeBytes { hash($0) } }

    public static func hash(_ bytes: [UInt8]) -> Hash32 { bytes.withUnsafeBytes { hash($0) } }

    /// The hash of no bytes: the code hash of an account without code.
    public static let emptyHash = Hash32(
        word: U256(0x7BFA_D804_5D85_A470, 0xE500_B653_CA82_273B, 0x927E_7DB2_DCC7_03C0, 0xC5D2_4601_86F7_233C)
    )

    /// keccak256(key ‖ base): the slot of `mapping[key]` for a mapping declared at slot `base`.
    public static func mappingSlot(key: U256, base: U256) -> U256 {
        var lanes = Lanes()
        lanes.a00 = key.w3.byteSwapped
        lanes.a01 = key.w2.byteSwapped
        lanes.a02 = key.w1.byteSwapped
        lanes.a03 = key.w0.byteSwapped
        lanes.a04 = base.w3.byteSwapped
        lanes.a05 = base.w2.byteSwapped
        lanes.a06 = base.w1.byteSwapped
        lanes.a07 = base.w0.byteSwapped
        lanes.a08 = 0x01
        lanes.a16 = 0x80 << 56
        lanes.permute()
        return lanes.digest
    }

    /// `mappingSlot` for `count` pairs, four at a time: about three times as fast where the machine has wide vectors. `slots`
    /// may be `keys` or `bases`.
    public static func mappingSlots(
        keys: UnsafePointer<U256>, bases: UnsafePointer<U256>, count: Int,
        into slots: UnsafeMutablePointer<U256>
    ) {
        withUnsafeTemporaryAllocation(byteCount: 800, alignment: 32) { room in
            guard let lanes = room.baseAddress?.bindMemory(to: UInt64.self, capacity: 100) else { return }
            var from = 0
            while from < count {
                let few = min(count - from, 4)
                lanes.initialize(repeating: 0, count: 100)
                for j in 0..<few {
                    let (key, base) = (keys[from + j], bases[from + j])
                    lanes[j] = key.w3.byteSwapped
                    lanes[4 + j] = key.w2.byteSwapped
                    lanes[8 + j] = key.w1.byteSwapped
                    lanes[12 + j] = key.w0.byteSwapped
                    lanes[16 + j] = base.w3.byteSwapped
                    lanes[20 + j] = base.w2.byteSwapped
                    lanes[24 + j] = base.w1.byteSwapped
                    lanes[28 + j] = base.w0.byteSwapped
                    lanes[32 + j] = 0x01
                    lanes[64 + j] = 0x80 << 56
                }
                millrace_keccak_permute4(lanes)
                for j in 0..<few {
                    slots[from + j] = U256(
                        lanes[12 + j].byteSwapped, lanes[8 + j].byteSwapped, lanes[4 + j].byteSwapped,
                        lanes[j].byteSwapped)
                }
                from += few
            }
        }
    }

    /// keccak256(inner ‖ keccak256(outer ‖ base)): the slot of `mapping[outer][inner]`, as an allowance's.
    public static func nestedSlot(base: U256, outer: U256, inner: U256) -> U256 {
        mappingSlot(key: inner, base: mappingSlot(key: outer, base: base))
    }
}

/// The sponge with rate 136 and a 32-byte digest. Domain 0x01 is Keccak-256; 0x06 is SHA3-256, which the tests use to
/// check the same code against NIST's vectors.
enum Sponge {
    static func hash(_ bytes: UnsafeRawPointer, count: Int, domain: UInt8) -> Hash32 {
        var lanes = Lanes()
        var at = bytes
        var rest = count
        while rest >= Keccak256.rateBytes {
            lanes.absorb(at)
            lanes.permute()
            at += Keccak256.rateBytes
            rest -= Keccak256.rateBytes
        }
        withUnsafeTemporaryAllocation(byteCount: Keccak256.rateBytes, alignment: 8) { last in
            guard let block = last.baseAddress else { return }
            block.initializeMemory(as: UInt8.self, repeating: 0, count: Keccak256.rateBytes)
            if rest > 0 { block.copyMemory(from: at, byteCount: rest) }
            last[rest] ^= domain
            last[Keccak256.rateBytes - 1] ^= 0x80
            lanes.absorb(UnsafeRawPointer(block))
        }
        lanes.permute()
        return Hash32(word: lanes.digest)
    }
}

/// The 1,600-bit state: lane x + 5y is `a` with that number.
struct Lanes {
    var a00: UInt64 = 0, a01: UInt64 = 0, a02: UInt64 = 0, a03: UInt64 = 0, a04: UInt64 = 0
    var a05: UInt64 = 0, a06: UInt64 = 0, a07: UInt64 = 0, a08: UInt64 = 0, a09: UInt64 = 0
    var a10: UInt64 = 0, a11: UInt64 = 0, a12: UInt64 = 0, a13: UInt64 = 0, a14: UInt64 = 0
    var a15: UInt64 = 0, a16: UInt64 = 0, a17: UInt64 = 0, a18: UInt64 = 0, a19: UInt64 = 0
    var a20: UInt64 = 0, a21: UInt64 = 0, a22: UInt64 = 0, a23: UInt64 = 0, a24: UInt64 = 0

    /// The first 32 bytes as a big-endian number.
    var digest: U256 { U256(a03.byteSwapped, a02.byteSwapped, a01.byteSwapped, a00.byteSwapped) }

    /// Adds one block of 136 bytes to lanes 0…16. The caller owes 136 readable bytes.
    mutating func absorb(_ block: UnsafeRawPointer) {
        @inline(__always) func lane(_ i: Int) -> UInt64 {
            UInt64(littleEndian: block.loadUnaligned(fromByteOffset: i &* 8, as: UInt64.self))
        }
        a00 ^= lane(0)
        a01 ^= lane(1)
        a02 ^= lane(2)
        a03 ^= lane(3)
        a04 ^= lane(4)
        a05 ^= lane(5)
        a06 ^= lane(6)
        a07 ^= lane(7)
        a08 ^= lane(8)
        a09 ^= lane(9)
        a10 ^= lane(10)
        a11 ^= lane(11)
        a12 ^= lane(12)
        a13 ^= lane(13)
        a14 ^= lane(14)
        a15 ^= lane(15)
        a16 ^= lane(16)
    }

    /// Keccak-f[1600]: 24 rounds of theta, rho and pi, chi, iota.
    mutating func permute() {
        var (s00, s01, s02, s03, s04) = (a00, a01, a02, a03, a04)
        var (s05, s06, s07, s08, s09) = (a05, a06, a07, a08, a09)
        var (s10, s11, s12, s13, s14) = (a10, a11, a12, a13, a14)
        var (s15, s16, s17, s18, s19) = (a15, a16, a17, a18, a19)
        var (s20, s21, s22, s23, s24) = (a20, a21, a22, a23, a24)
        for round in 0..<24 {
            // Theta: every lane takes the parity of two columns.
            let c0 = s00 ^ s05 ^ s10 ^ s15 ^ s20
            let c1 = s01 ^ s06 ^ s11 ^ s16 ^ s21
            let c2 = s02 ^ s07 ^ s12 ^ s17 ^ s22
            let c3 = s03 ^ s08 ^ s13 ^ s18 ^ s23
            let c4 = s04 ^ s09 ^ s14 ^ s19 ^ s24
            let d0 = c4 ^ rotate(c1, 1)
            let d1 = c0 ^ rotate(c2, 1)
            let d2 = c1 ^ rotate(c3, 1)
            let d3 = c2 ^ rotate(c4, 1)
            let d4 = c3 ^ rotate(c0, 1)
            // Rho and pi: lane (x, y) turns by its offset and moves to (y, 2x + 3y).
            let b00 = s00 ^ d0
            let b10 = rotate(s01 ^ d1, 1)
            let b20 = rotate(s02 ^ d2, 62)
            let b05 = rotate(s03 ^ d3, 28)
            let b15 = rotate(s04 ^ d4, 27)
            let b16 = rotate(s05 ^ d0, 36)
            let b01 = rotate(s06 ^ d1, 44)
            let b11 = rotate(s07 ^ d2, 6)
            let b21 = rotate(s08 ^ d3, 55)
            let b06 = rotate(s09 ^ d4, 20)
            let b07 = rotate(s10 ^ d0, 3)
            let b17 = rotate(s11 ^ d1, 10)
            let b02 = rotate(s12 ^ d2, 43)
            let b12 = rotate(s13 ^ d3, 25)
            let b22 = rotate(s14 ^ d4, 39)
            let b23 = rotate(s15 ^ d0, 41)
            let b08 = rotate(s16 ^ d1, 45)
            let b18 = rotate(s17 ^ d2, 15)
            let b03 = rotate(s18 ^ d3, 21)
            let b13 = rotate(s19 ^ d4, 8)
            let b14 = rotate(s20 ^ d0, 18)
            let b24 = rotate(s21 ^ d1, 2)
            let b09 = rotate(s22 ^ d2, 61)
            let b19 = rotate(s23 ^ d3, 56)
            let b04 = rotate(s24 ^ d4, 14)
            // Chi, row by row, and iota on lane 0.
            s00 = b00 ^ (~b01 & b02) ^ roundConstants[round]
            s01 = b01 ^ (~b02 & b03)
            s02 = b02 ^ (~b03 & b04)
            s03 = b03 ^ (~b04 & b00)
            s04 = b04 ^ (~b00 & b01)
            s05 = b05 ^ (~b06 & b07)
            s06 = b06 ^ (~b07 & b08)
            s07 = b07 ^ (~b08 & b09)
            s08 = b08 ^ (~b09 & b05)
            s09 = b09 ^ (~b05 & b06)
            s10 = b10 ^ (~b11 & b12)
            s11 = b11 ^ (~b12 & b13)
            s12 = b12 ^ (~b13 & b14)
            s13 = b13 ^ (~b14 & b10)
            s14 = b14 ^ (~b10 & b11)
            s15 = b15 ^ (~b16 & b17)
            s16 = b16 ^ (~b17 & b18)
            s17 = b17 ^ (~b18 & b19)
            s18 = b18 ^ (~b19 & b15)
            s19 = b19 ^ (~b15 & b16)
            s20 = b20 ^ (~b21 & b22)
            s21 = b21 ^ (~b22 & b23)
            s22 = b22 ^ (~b23 & b24)
            s23 = b23 ^ (~b24 & b20)
            s24 = b24 ^ (~b20 & b21)
        }
        (a00, a01, a02, a03, a04) = (s00, s01, s02, s03, s04)
        (a05, a06, a07, a08, a09) = (s05, s06, s07, s08, s09)
        (a10, a11, a12, a13, a14) = (s10, s11, s12, s13, s14)
        (a15, a16, a17, a18, a19) = (s15, s16, s17, s18, s19)
        (a20, a21, a22, a23, a24) = (s20, s21, s22, s23, s24)
    }
}

@inline(__always) private func rotate(_ lane: UInt64, _ bits: UInt64) -> UInt64 {
    lane &<< bits | lane &>> (64 &- bits)
}

/// FIPS 202, algorithm 5: bit 2^j − 1 of constant i is the LFSR's output at j + 7i.
private let roundConstants: InlineArray<24, UInt64> = [
    0x0000_0000_0000_0001, 0x0000_0000_0000_8082, 0x8000_0000_0000_808A, 0x8000_0000_8000_8000,
    0x0000_0000_0000_808B, 0x0000_0000_8000_0001, 0x8000_0000_8000_8081, 0x8000_0000_0000_8009,
    0x0000_0000_0000_008A, 0x0000_0000_0000_0088, 0x0000_0000_8000_8009, 0x0000_0000_8000_000A,
    0x0000_0000_8000_808B, 0x8000_0000_0000_008B, 0x8000_0000_0000_8089, 0x8000_0000_0000_8003,
    0x8000_0000_0000_8002, 0x8000_0000_0000_0080, 0x0000_0000_0000_800A, 0x8000_0000_8000_000A,
    0x8000_0000_8000_8081, 0x8000_0000_0000_8080, 0x0000_0000_8000_0001, 0x8000_0000_8000_8008,
]
