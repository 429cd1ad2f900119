/// Bounds on everything a recording may ask of its reader, each beside its reason.
public enum RecordingLimits {
    /// One mini-block's serialised diff, and so one block before compression. Twice a payload's 25 MiB, for old and new
    /// values, and room to spare.
    public static let blockBytesMax = 64 * 1_048_576
    /// A frame's body: a block that did not compress, and its few numbers in front.
    public static let frameBytesMax = blockBytesMax + blockBytesMax / 128 + 4_096
    /// A block is closed once it holds this much, even when its second is not over.
    public static let blockBytesTarget = 4 * 1_048_576
    /// Cells of one kind in one diff. A decoded new slot takes 144 bytes, so 2 Mi of them take 300 MB at worst.
    public static let cellsPerDiffMax = 1 << 21
    /// Cells in one genesis diff, so that a reader never holds a large state twice.
    public static let cellsPerGenesisDiff = 1 << 16
    /// Bytes of code in one genesis diff before the next one begins.
    public static let codeBytesPerGenesisDiff = 4 * 1_048_576
    /// Diffs in one block; also keeps heights within one EVM block.
    public static let diffsPerBlockMax = 100
    /// UTF-8 bytes of the description.
    public static let descriptionBytesMax = 4_096
    /// Entries in a seek index: half a year at one a second.
    public static let indexEntriesMax = 1 << 24
}
