/// `--pcapng`: a simulation's datagrams into a file, written beside its name and renamed when whole.

import MillraceBase
import MillraceRecording
import MillraceSim

final class CaptureFile {
    private let path: String
    private let node: String?
    private let file: OutputFile
    /// The first thing that went wrong; the run goes on without the file.
    private var failure: RecordingError?

    init(path: String, node: String?) throws {
        self.path = path
        self.node = node
        file = try reportingFiles { try OutputFile(path: path) }
    }

    func begin(_ simulation: Simulation) throws {
        let capture = simulation.capture(node: node) { [self] bytes in
            guard failure == nil else { return }
            do throws(RecordingError) { try file.write(bytes) } catch { failure = error }
        }
        if capture == nil {
            throw Failure(
                .usage,
                "--pcapng-node: there is no node \"\(node ?? "replica")\""
                    + Suggestion.hint(for: node ?? "", among: simulation.nodeNames))
        }
    }

    func end() throws {
        try reportingFiles {
            if let failure { throw failure }
            try file.commit()
        }
    }
}
