import NBDProtocol

@main
struct NBDMountCommand {
  static func main() {}
}
