import MillraceBase

extension ByteReader {
    /// An unsigned LEB128 number below 2^256, at most 37 bytes, minimal.
    @_lifetime(self: copy self)
    mutating func wideVarint() throws(ByteError) -> U256 {
        var low: UInt64 = 0
        var byte: UInt8 = 0
        // Nine bytes fill 63 bits: most values end here, without a 256-bit shift.
        for shift in stride(from: 0, to: 63, by: 7) {
            byte = try u8()
            low |= UInt64(byte & 0x7F) << UInt64(shift)
            if byte < 0x80 {
                if byte == 0, shift != 0 { throw .malformed }
                return U256(low)
            }
        }
        var value = U256(low)
        var shift = 63
        while true {
            byte = try u8()
            let part = U256(UInt64(byte & 0x7F))
            // Byte 37 carries bits 252…258: only four of them exist.
            if shift == 252, byte > 0x0F { throw .malformed }
            value = value | (part << shift)
            if byte < 0x80 {
                if byte == 0 { throw .malformed }
                return value
            }
            shift += 7
        }
    }
}
