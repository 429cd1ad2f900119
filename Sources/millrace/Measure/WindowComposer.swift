/// Mini-blocks to the aligned windows of a coarser cadence. Windows of ten are made first and windows of a hundred from
/// those, so that a long window costs no more than four copies of its changes.

import MillraceBase
import MillraceDiff

struct ComposedWindow {
    var diff: StateDiff
    /// Every height of the aligned window is in it.
    var isWhole: Bool
    var hasBridge: Bool
    /// Transactions of the stream before it.
    var transactionsBefore: UInt64
}

final class WindowComposer {
    private let heights: UInt64
    /// Makes this one's parts; nil: mini-blocks are.
    private let finer: WindowComposer?
    private var pending: ComposedWindow?

    /// Not for c0, whose windows are the mini-blocks.
    init(_ cadence: Cadence) {
        precondition(cadence != .c0, "a mini-block is a window already")
        heights = cadence.heights
        finer = Cadence(rawValue: cadence.rawValue - 1).flatMap { $0 == .c0 ? nil : WindowComposer($0) }
    }

    /// The window that the mini-block completes, if it does.
    func add(_ diff: StateDiff, transactionsBefore: UInt64) throws(DiffError) -> ComposedWindow? {
        if let finer {
            guard let part = try finer.add(diff, transactionsBefore: transactionsBefore) else { return nil }
            return try join(part)
        }
        return try join(
            ComposedWindow(
                diff: diff, isWhole: true, hasBridge: diff.kind == .bridge,
                transactionsBefore: transactionsBefore))
    }

    /// What is left at the end of the stream.
    func finish() throws(DiffError) -> ComposedWindow? {
        if let finer, let part = try finer.finish(), let window = try join(part) { return window }
        defer { pending = nil }
        pending?.isWhole = false
        return pending
    }

    private func join(_ part: ComposedWindow) throws(DiffError) -> ComposedWindow? {
        var window = part
        if let first = pending {
            window.diff = try StateDiff.compose(first.diff, part.diff)
            window.isWhole = first.isWhole && part.isWhole
            window.hasBridge = first.hasBridge || part.hasBridge
            window.transactionsBefore = first.transactionsBefore
        } else if (part.diff.firstHeight - 1) % heights != 0 {
            window.isWhole = false
        }
        pending = nil
        if window.diff.lastHeight % heights == 0 { return window }
        pending = window
        return nil
    }
}
