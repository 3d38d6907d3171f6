//! The blocks of a GIF file (GIF89a specification, appendix B): where its first frame lies and how it is coloured; knows nothing of compression.

/// Why there is no frame.
pub(super) type Fault = &'static str;

/// The first frame of a file.
pub(super) struct Frame<'a> {
    /// Signature, screen and global colours.
    screen: &'a [u8],
    /// Descriptor, local colours and the size of codes.
    head: &'a [u8],
    /// The coded pixels.
    blocks: SubBlocks<'a>,
    /// Columns and rows of the whole picture.
    pub(super) canvas: [u32; 2],
    /// Of the frame in the picture: x and y.
    pub(super) origin: [u32; 2],
    /// Of the frame: columns and rows.
    pub(super) size: [u32; 2],
    /// Local or global colours; none where a file has neither.
    pub(super) palette: Option<&'a [u8]>,
    pub(super) transparent: Option<u8>,
}

impl<'a> Frame<'a> {
    /// Reads a whole file up to the end of its first frame.
    ///
    /// # Errors
    /// When it ends before.
    pub(super) fn first(bytes: &'a [u8]) -> Result<Self, Fault> {
        const CUT: Fault = "it ends before its first frame";
        let (header, _) = bytes.split_first_chunk::<13>().ok_or(CUT)?;
        let (screen, mut rest) = bytes.split_at_checked(header.len() + color_table_bytes(header[10])).ok_or(CUT)?;
        let mut transparent = None;
        loop {
            let (kind, block) = rest.split_first().ok_or(CUT)?;
            rest = match *kind {
                0x2c => return Self::read(screen, rest, transparent),
                0x3b => return Err("it has no frame"),
                0x21 => {
                    let (label, data) = block.split_first().ok_or(CUT)?;
                    // A graphic control extension: its length, flags, a delay of two bytes, and the transparent index.
                    if let (0xf9, [length, flags, _, _, index, ..]) = (*label, data)
                        && *length >= 4
                        && flags & 1 == 1
                    {
                        transparent = Some(*index);
                    }
                    let SubBlocks { bytes, .. } = SubBlocks::of(data);
                    data.get(bytes.len() + 1..).unwrap_or_default()
                }
                // Padding, which some writers leave.
                _ => block,
            };
        }
    }

    /// `rest` begins with the frame's descriptor.
    fn read(screen: &'a [u8], rest: &'a [u8], transparent: Option<u8>) -> Result<Self, Fault> {
        const CUT: Fault = "its first frame is cut";
        let (descriptor, _) = rest.split_first_chunk::<10>().ok_or(CUT)?;
        let local = color_table_bytes(descriptor[9]);
        let (head, data) = rest.split_at_checked(descriptor.len() + local + 1).ok_or(CUT)?;
        let number = |bytes: &[u8], at: usize| u32::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
        let [origin, size] = [1, 5].map(|at| [number(descriptor, at), number(descriptor, at + 2)]);
        let [local, global] = [&head[descriptor.len()..][..local], &screen[13..]];
        Ok(Self {
            screen,
            head,
            blocks: SubBlocks::of(data),
            // A picture is large enough for its first frame, whatever it says.
            canvas: [0, 1].map(|side| number(screen, 6 + 2 * side).max(origin[side] + size[side])),
            origin,
            size,
            palette: [local, global].into_iter().find(|colors| !colors.is_empty()),
            transparent,
        })
    }

    /// A file of this frame alone.
    pub(super) fn file(&self) -> Vec<u8> {
        let mut file = [self.screen, self.head, self.blocks.bytes].concat();
        if self.palette.is_none() {
            // The decoder insists on colours, and two black ones do.
            file[10] |= 0x80;
            file[10] &= !7;
            drop(file.splice(13..13, [0; 6]));
        }
        if let Some(at) = self.blocks.cut {
            let length = self.blocks.bytes.len() - at - 1;
            let from_end = file.len() - length - 1;
            file[from_end] = length as u8;
        }
        file.extend([0, 0x3b]);
        file
    }
}

fn color_table_bytes(flags: u8) -> usize {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
}

/// Data in blocks of up to 255 bytes, each behind its length.
struct SubBlocks<'a> {
    /// The blocks and their lengths, up to an empty block or to where they are cut.
    bytes: &'a [u8],
    /// Where the block begins that is cut.
    cut: Option<usize>,
}

impl<'a> SubBlocks<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        let mut at = 0;
        while let Some(length @ 1..) = bytes.get(at) {
            let next = at + 1 + usize::from(*length);
            if next > bytes.len() {
                return Self { bytes, cut: Some(at) };
            }
            at = next;
        }
        Self { bytes: &bytes[..at], cut: None }
    }
}
