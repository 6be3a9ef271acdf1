//! The messages of USB/IP for control and interrupt transfers: Documentation/usb/usbip_protocol.rst.

use std::io::{self, Read};
use std::mem::size_of;

use zerocopy::byteorder::big_endian::{I32, U32};
use zerocopy::byteorder::little_endian::U16;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

const CMD_SUBMIT: u32 = 1;
const CMD_UNLINK: u32 = 2;
const RET_SUBMIT: u32 = 3;
const RET_UNLINK: u32 = 4;

const DIR_IN: u32 = 1;

/// `struct usbip_header_basic`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Basic {
    command: U32,
    seqnum: U32,
    devid: U32,
    direction: U32,
    endpoint: U32,
}

/// `struct usbip_header_cmd_submit`.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct CmdSubmit {
    flags: U32,
    length: U32,
    start_frame: U32,
    packets: U32,
    interval: U32,
    setup: Setup,
}

/// `struct usbip_header_ret_submit`.
#[derive(FromZeros, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RetSubmit {
    status: I32,
    length: U32,
    start_frame: U32,
    packets: U32,
    errors: U32,
    padding: [u8; 8],
}

/// `struct usbip_header_cmd_unlink` and `struct usbip_header_ret_unlink`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Unlink {
    /// A sequence number in the command, a status in the answer.
    value: I32,
    padding: [u8; 24],
}

const _: () = {
    assert!(size_of::<Basic>() == 20);
    assert!(size_of::<CmdSubmit>() == 28);
    assert!(size_of::<RetSubmit>() == 28);
    assert!(size_of::<Unlink>() == 28);
    assert!(size_of::<Setup>() == 8);
};

/// The packet that begins a control transfer (USB 2.0, section 9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Setup {
    /// `bmRequestType`.
    pub kind: u8,
    /// `bRequest`.
    pub request: u8,
    /// `wValue`.
    pub value: U16,
    /// `wIndex`.
    pub index: U16,
    /// `wLength`.
    pub length: U16,
}

/// A transfer that the kernel requests.
#[derive(Clone, Debug)]
pub struct Submit {
    /// The number that identifies the answer.
    pub seqnum: u32,
    /// The endpoint's number, without its direction.
    pub endpoint: u8,
    /// Whether the device sends.
    pub is_in: bool,
    /// The number of bytes that the kernel has room for, or sends.
    pub length: usize,
    /// The setup packet, for endpoint 0.
    pub setup: Setup,
    /// The bytes that the kernel sends.
    pub data: Vec<u8>,
}

/// A message from the kernel.
#[derive(Clone, Debug)]
pub enum Command {
    /// A transfer.
    Submit(Submit),
    /// The cancellation of a transfer.
    Unlink {
        /// The number that identifies the answer.
        seqnum: u32,
        /// The number of the transfer.
        of: u32,
    },
}

impl Command {
    /// Reads the next message. Returns `None` if the kernel has closed the connection.
    ///
    /// # Errors
    /// The connection fails, or an unknown message comes.
    pub fn read(mut from: impl Read) -> io::Result<Option<Command>> {
        let mut basic = [0; size_of::<Basic>()];
        match from.read_exact(&mut basic) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            result => result?,
        }
        let basic: Basic = zerocopy::transmute!(basic);
        match basic.command.get() {
            CMD_SUBMIT => Submit::read(&basic, from).map(|submit| Some(Command::Submit(submit))),
            CMD_UNLINK => {
                let unlink: Unlink = zerocopy::transmute!(read::<28>(from)?);
                Ok(Some(Command::Unlink { seqnum: basic.seqnum.get(), of: unlink.value.get().cast_unsigned() }))
            }
            other => Err(io::Error::new(io::ErrorKind::InvalidData, format!("unexpected USB/IP command {other}"))),
        }
    }
}

/// Reads exactly this many bytes.
fn read<const SIZE: usize>(mut from: impl Read) -> io::Result<[u8; SIZE]> {
    let mut bytes = [0; SIZE];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

impl Submit {
    fn read(basic: &Basic, mut from: impl Read) -> io::Result<Submit> {
        let submit: CmdSubmit = zerocopy::transmute!(read::<28>(&mut from)?);
        let endpoint = u8::try_from(basic.endpoint.get()).map_err(io::Error::other)?;
        let length = usize::try_from(submit.length.get()).map_err(io::Error::other)?;
        let is_in = basic.direction.get() == DIR_IN;
        let mut data = vec![0; if is_in { 0 } else { length }];
        from.read_exact(&mut data)?;
        Ok(Submit { seqnum: basic.seqnum.get(), endpoint, is_in, length, setup: submit.setup, data })
    }
}

/// Returns the answer to a transfer.
///
/// `data` is what the device sends, and `length` is the number of transferred bytes in either direction. `status` is 0 or a negative errno.
pub fn submitted(seqnum: u32, status: i32, length: usize, data: &[u8]) -> Vec<u8> {
    let length = U32::new(u32::try_from(length).unwrap_or(u32::MAX));
    let ret = RetSubmit { status: I32::new(status), length, ..RetSubmit::new_zeroed() };
    [answer(RET_SUBMIT, seqnum).as_bytes(), ret.as_bytes(), data].concat()
}

/// Returns the answer to a cancellation. `status` is `-ECONNRESET`, or 0 if the transfer had ended.
pub fn unlinked(seqnum: u32, status: i32) -> Vec<u8> {
    let ret = Unlink { value: I32::new(status), padding: [0; 24] };
    [answer(RET_UNLINK, seqnum).as_bytes(), ret.as_bytes()].concat()
}

fn answer(command: u32, seqnum: u32) -> Basic {
    let zero = U32::ZERO;
    Basic { command: U32::new(command), seqnum: U32::new(seqnum), devid: zero, direction: zero, endpoint: zero }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of usbip_protocol.rst, in 32-bit words.
    const INTERRUPT_IN: &str =
        "00000001 00000d05 0001000f 00000001 00000001 00000200 00000040 ffffffff 00000000 00000004 00000000 00000000";
    const INTERRUPT_OUT: &str =
        "00000001 00000d06 0001000f 00000000 00000001 00000000 00000002 ffffffff 00000000 00000004 00000000 00000000";

    fn bytes(words: &str) -> Vec<u8> {
        let word = |word: &str| u32::from_str_radix(word, 16).unwrap().to_be_bytes();
        words.split(' ').flat_map(word).collect()
    }

    fn submit(bytes: &[u8]) -> Submit {
        match Command::read(bytes).unwrap() {
            Some(Command::Submit(submit)) => submit,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn transfers_are_read() {
        let read = submit(&bytes(INTERRUPT_IN));
        assert_eq!((read.seqnum, read.endpoint, read.is_in, read.length), (0xd05, 1, true, 64));
        let read = submit(&[&bytes(INTERRUPT_OUT)[..], &[0xaa, 0xbb]].concat());
        assert_eq!((read.seqnum, read.is_in, read.data), (0xd06, false, vec![0xaa, 0xbb]));
        let mut control = bytes(INTERRUPT_IN);
        control[40..].copy_from_slice(&[0x81, 6, 0, 0x22, 2, 0, 0x41, 0]);
        let setup = submit(&control).setup;
        assert_eq!((setup.kind, setup.request), (0x81, 6));
        assert_eq!((setup.value.get(), setup.index.get(), setup.length.get()), (0x2200, 2, 65));
    }

    #[test]
    fn ends_are_read() {
        let mut unlink = bytes(INTERRUPT_IN);
        unlink[3] = 2;
        unlink[20..24].copy_from_slice(&[0, 0, 0xd, 4]);
        assert!(matches!(Command::read(&unlink[..]).unwrap(), Some(Command::Unlink { seqnum: 0xd05, of: 0xd04 })));
        assert!(Command::read(&[][..]).unwrap().is_none());
        unlink[3] = 9;
        assert!(Command::read(&unlink[..]).is_err());
        assert!(Command::read(&bytes(INTERRUPT_OUT)[..]).is_err());
    }

    #[test]
    fn answers_have_the_size_of_commands() {
        let answer = submitted(0xd05, -75, 64, &[]);
        assert_eq!(&answer[..28], bytes("00000003 00000d05 00000000 00000000 00000000 ffffffb5 00000040"));
        assert_eq!((answer.len(), submitted(1, 0, 3, &[1, 2, 3]).len(), unlinked(1, -104).len()), (48, 51, 48));
    }
}
