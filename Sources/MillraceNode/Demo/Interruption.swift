/// Ctrl-C and SIGTERM while a demo runs: noted, so that the children are ended and the folder is removed on the way out.

import Dispatch
import Foundation

public final class Interruption: @unchecked Sendable {
    private let lock = NSLock()
    private var isNoted = false
    private var sources: [any DispatchSourceSignal] = []

    /// Begins to listen; from here on the signals do not end this process by themselves.
    public init() {
        for number in [SIGINT, SIGTERM] {
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler { [weak self] in self?.note() }
            source.resume()
            sources.append(source)
            // A handler instead of SIG_IGN: an ignored signal would stay ignored in the programs started from here.
            signal(number) { _ in }
        }
    }

    private func note() { lock.withLock { isNoted = true } }

    public var hasHappened: Bool { lock.withLock { isNoted } }
}
