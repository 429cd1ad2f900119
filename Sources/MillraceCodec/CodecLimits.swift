/// What bounds one payload's decoding, beside its arithmetic.

internal import MillraceBase

public enum CodecLimits {
    /// New and changed keys of one diff, each kind. A 10 s window of 100,000 swaps a second changes about a million.
    public static let keyCountMax = 1 << 22
    /// Keys per payload byte: an entropy coder can make a key almost free, and then a few bytes would cost the receiver
    /// seconds. At eight keys a byte and some 150 ns a key, a KiB costs at most about 1.2 ms. An encoder that does better
    /// pads (Spec 30.3).
    public static let keysPerByteMax = 8
    /// Operations of one payload: 20 s of 100,000 swaps a second. Each may touch eight cells, of a hundred bytes apiece.
    public static let actionCountMax = 1 << 21
    /// Heights of one payload.
    public static let heightCountMax = 1_000
    /// One piece of code, as `State` bounds it.
    public static let codeBytesMax = 1 << 20

    /// Units of work that a byte of payload pays for, about 5 ns each; what it costs beside keys (`workPerKey`) is charged
    /// by the columns.
    static let workPerByte = 256
    static var workPerKey: Int { workPerByte / keysPerByteMax }
    /// A hash of two words and the look-up of what it gives.
    static let workPerHash = 128
    /// A slot of a destroyed account: a step along a chain, a look at the value, a change to be put in its place.
    static let workPerClearing = 128
    /// A byte of code by the model, any byte of code, a code.
    static let workPerModelledByte = 64
    static let workPerCodeByte = 1
    static let workPerCode = 128

    /// The least payload that may carry so many keys and ask for so much work beside.
    static func payloadBytesMin(keys: Int, work: Int = 0) -> Int { (keys * workPerKey + work) / workPerByte }
}
