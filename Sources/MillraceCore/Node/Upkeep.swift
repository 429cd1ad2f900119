/// Work that a core puts off until what others wait for has left: `SequencerCore` and `ReplicaCore` keep one for a mini-block's
/// share of the state commitment. It is done at the end of draining, or before the state changes again.

enum Upkeep {
    case none
    case owed
    /// The shell knows that it comes next.
    case announced

    /// Whether it is owed and has just been announced: the core then answers `CoreOutput.flush`.
    mutating func isNext() -> Bool {
        guard self == .owed else { return false }
        self = .announced
        return true
    }
}
