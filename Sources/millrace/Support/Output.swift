import ArgumentParser
import Foundation
import MillraceBase

/// `--json`, and where things are printed: the result on stdout, progress and logs on stderr.
struct OutputOptions: ParsableArguments {
    @Flag(name: .long, help: "Print one JSON object on stdout and nothing else there.")
    var json = false

    /// Prints the verb's result: the object, or the text for people.
    func result(_ object: JSON, _ text: @autoclosure () -> String) {
        print(json ? object.text() : text())
    }
}

/// A line on stderr.
func note(_ line: String) {
    FileHandle.standardError.write(Data((line + "\n").utf8))
}
