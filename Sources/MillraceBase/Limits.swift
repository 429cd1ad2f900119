/// Bounds that more than one module shares, beside their arithmetic. A module's own bounds live in its own `Limits`.
public enum Limits {
    /// UDP payload of every datagram until a path proves larger: IPv6's minimum MTU of 1,280 less 40 (IPv6) and 8 (UDP).
    public static let datagramBytesMax = 1_232
    /// One mini-block's payload: 25 MiB, and slack for what encoding an incompressible block adds.
    public static let payloadBytesMax = 25 * 1_048_576 + 262_144
    /// Mini-blocks in an EVM block: 10 ms each, 1 s.
    public static let miniBlocksPerEVMBlock: UInt64 = 100
    /// Nanoseconds between two mini-blocks.
    public static let miniBlockInterval = Interval.milliseconds(10)
}
