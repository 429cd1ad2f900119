/// The sequencer's second thread: it makes the windows of the coarser cadences while the first one seals on the beat.
///
///     loop's thread   onSealed ─▶ add ─▶ queue            ┌─▶ core.add(window)
///     this thread                        └─▶ WindowMaker ─┴─▶ Wakeup (the loop's mailbox)
///
/// It runs at a lower priority than the loop, so that a machine with too few cores makes windows late and not mini-blocks;
/// where the process has real-time priority, this thread gives it up.
///
/// Bounds: `waitingMax` mini-blocks wait. A machine that is behind by more cannot make windows as fast as the stream needs
/// them; then it makes none any more, and followers have c0 only.

import Foundation
import Glibc
import Logging
import MillraceCore
import MillraceDiff
import MillraceLoop

/// Unchecked: the queue is under the condition's lock, the maker is touched on the thread only.
final class WindowThread: @unchecked Sendable {
    /// 40 s of stream.
    static let waitingMax = 4_000
    static let niceness: Int32 = 10

    private let maker: WindowMaker
    private let mailbox: Wakeup<WindowPayload>
    private let log: Logger
    private let condition = NSCondition()
    private var waiting: [(diff: StateDiff, payload: [UInt8])] = []
    private var isClosed = false

    /// `onWindow` is called on the loop's thread.
    init(
        _ maker: WindowMaker, on loop: EventLoop, log: Logger, onWindow: @escaping (WindowPayload) -> Void
    ) throws(LoopError) {
        self.maker = maker
        self.log = log
        mailbox = try Wakeup(on: loop, onWindow)
        let thread = Thread { [self] in run() }
        thread.name = "windows"
        // Composing a c3 window recurses nowhere; the default of 512 KiB would do on Linux too.
        thread.stackSize = 8 << 20
        thread.start()
    }

    /// The next mini-block, as it was sealed. False when no more windows are made.
    func add(_ diff: StateDiff, payload: [UInt8]) -> Bool {
        condition.lock()
        defer { condition.unlock() }
        if isClosed { return false }
        if waiting.count == WindowThread.waitingMax {
            isClosed = true
            waiting = []
            log.warning(
                "this machine is too slow to make windows of coarser cadences: only c0 is served from now on")
        } else {
            waiting.append((diff, payload))
        }
        condition.signal()
        return !isClosed
    }

    /// On the loop's thread.
    func close() {
        condition.lock()
        isClosed = true
        waiting = []
        condition.signal()
        condition.unlock()
        mailbox.close()
    }

    private func run() {
        WindowThread.lowerPriority()
        while let diffs = next() {
            for (diff, payload) in diffs {
                do throws(DiffError) {
                    for window in try maker.add(diff, payload: payload) { mailbox.post(window) }
                } catch {
                    log.error("mini-block \(diff.lastHeight) does not compose with those before it: \(error)")
                    return
                }
            }
        }
    }

    /// Of the calling thread alone, on Linux. Where it is not allowed nothing is lost.
    private static func lowerPriority() {
        // Niceness means nothing to a real-time thread, which a thread is when the one that made it was.
        var parameters = sched_param()
        _ = sched_setscheduler(0, SCHED_OTHER, &parameters)
        _ = setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, niceness)
    }

    /// Waits for mini-blocks; nil when there will be none.
    private func next() -> [(diff: StateDiff, payload: [UInt8])]? {
        condition.lock()
        defer { condition.unlock() }
        while waiting.isEmpty, !isClosed { condition.wait() }
        if isClosed { return nil }
        let all = waiting
        waiting = []
        return all
    }
}
