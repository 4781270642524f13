/// The magic numbers that open each kind of message (*Handshake*, *Transmission*, *Reserved Magic values*).
public enum Magic {
  /// `NBDMAGIC`, the first eight bytes of every server's greeting (*Handshake*).
  public static let initial: UInt64 = 0x4e42_444d_4147_4943
  /// `IHAVEOPT`: the second magic of a newstyle greeting, and the magic of every option (*Newstyle negotiation*).
  public static let option: UInt64 = 0x4948_4156_454f_5054
  /// `cliserv_magic`: the second magic of an oldstyle greeting (*Oldstyle negotiation*).
  public static let oldstyle: UInt64 = 0x0000_4202_8186_1253
  /// The magic of an option reply (*Fixed newstyle negotiation*).
  public static let optionReply: UInt64 = 0x0003_e889_0455_65a9
  /// `NBD_REQUEST_MAGIC` (*Request message*).
  public static let request: UInt32 = 0x2560_9513
  /// `NBD_EXTENDED_REQUEST_MAGIC` (*Request message*).
  public static let extendedRequest: UInt32 = 0x21e4_1c71
  /// `NBD_SIMPLE_REPLY_MAGIC` (*Simple reply message*).
  public static let simpleReply: UInt32 = 0x6744_6698
  /// `NBD_STRUCTURED_REPLY_MAGIC` (*Structured reply chunk message*).
  public static let structuredReply: UInt32 = 0x668e_33ef
  /// `NBD_EXTENDED_REPLY_MAGIC` (*Extended reply chunk message*).
  public static let extendedReply: UInt32 = 0x6e8a_278c
}
