/// CRC-32C (Castagnoli): finds a flipped byte of a frame at once, long before anyone looks at a hash.

import CMillraceShims

enum CRC32C {
    static func checksum(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
        mr_crc32c(0, bytes.baseAddress, bytes.count)
    }
}
