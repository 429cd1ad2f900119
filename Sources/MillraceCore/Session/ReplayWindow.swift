/// Which of the last 16,320 datagrams under one key have been seen (the ring bitmap of RFC 6479). At 25 Mbit/s that is
/// more than five seconds of reordering. Checked before decryption, marked only after it, so forged counters do nothing.
///
/// The bits live in one array for all keys, lent as a slice of words: a key's window is a place, not an allocation.

struct ReplayWindow: BitwiseCopyable {
    static let words = 256
    /// One word is always being cleared ahead of the newest.
    static let size = UInt64((words - 1) * 64)

    /// No key ever gets this far; it keeps the arithmetic below from overflowing.
    static let counterLimit: UInt64 = 1 << 62

    /// One above the greatest counter seen; zero before the first.
    private(set) var next: UInt64 = 0

    /// The counter whose low 32 bits are `low` and that lies nearest to the next one expected. (Spec 50.5)
    func counter(fromLow low: UInt32) -> UInt64 {
        let candidate = next & ~0xFFFF_FFFF | UInt64(low)
        if candidate > next, candidate - next > 1 << 31 {
            return candidate >= 1 << 32 ? candidate - 1 << 32 : candidate
        }
        if candidate < next, next - candidate > 1 << 31 {
            return candidate < UInt64.max - 0xFFFF_FFFF ? candidate + 1 << 32 : candidate
        }
        return candidate
    }

    /// Whether `counter` is new. `bits` are this window's words.
    func isNew(_ counter: UInt64, bits: UnsafePointer<UInt64>) -> Bool {
        if counter >= next { return counter < ReplayWindow.counterLimit }
        if next - counter > ReplayWindow.size { return false }
        return bits[Int(counter / 64 % UInt64(ReplayWindow.words))] >> (counter % 64) & 1 == 0
    }

    /// Notes `counter`; true when it is the greatest so far. The caller owes `isNew`.
    mutating func mark(_ counter: UInt64, bits: UnsafeMutablePointer<UInt64>) -> Bool {
        let isGreatest = counter >= next
        if isGreatest {
            let newest = next == 0 ? 0 : (next - 1) / 64
            let steps = min(counter / 64 - newest, UInt64(ReplayWindow.words))
            var step: UInt64 = 0
            while step < steps {
                step += 1
                bits[Int((newest + step) % UInt64(ReplayWindow.words))] = 0
            }
            next = counter + 1
        }
        bits[Int(counter / 64 % UInt64(ReplayWindow.words))] |= 1 << (counter % 64)
        return isGreatest
    }
}
