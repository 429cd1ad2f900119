/// `millrace keys`: make and show identities.

import ArgumentParser
import MillraceBase
import MillraceCrypto
import MillraceLoop
import MillraceNode

struct Keys: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make and show a node's identity.", subcommands: [KeysGenerate.self, KeysShow.self])
}

struct KeysGenerate: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "generate", abstract: "Write a new identity file, readable by its owner only.")
    @Option(help: "Where to write it. An existing file is never replaced.") var out: String
    @OptionGroup var output: OutputOptions

    func run() throws {
        let identity = Identity(secret: Hash32(word: Machine.randomSeed().word))
        try reporting { try identity.save(path: out) }
        show(identity, output)
    }
}

struct KeysShow: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Print the public keys of an identity file.")
    @Argument(help: "The identity file.") var file: String
    @OptionGroup var output: OutputOptions

    func run() throws { show(try reporting { try Identity.load(path: file) }, output) }
}

private func show(_ identity: Identity, _ output: OutputOptions) {
    let session = identity.session.publicKey.description
    let signing = identity.signing.verifyingKey.bytes32.hex
    output.result(
        .object([("peerKey", .string(session)), ("signingKey", .string(signing))]),
        "peer     mill://\(session)@HOST:PORT\nsigning  \(signing)   (a sequencer's followers need it: --sequencer)"
    )
}
