//! Pictures whose coefficients come in several scans, and are kept until the last one.

use super::entropy::Entropy;
use super::huffman::Fault;
use super::kernels::Block;
use super::markers::{Frame, Markers, Sampling, Scan};
use super::render::Renderer;

/// Bounds the work on a file of few bytes; encoders make some ten scans.
const MAX_SCANS: usize = 100;

/// The coefficients of a picture.
pub(super) struct Store {
    planes: Vec<Plane>,
}

/// The coefficients of a component.
struct Plane {
    blocks: Vec<Block>,
    /// Blocks in a row, and rows, those included that only fill the last MCUs.
    size: [usize; 2],
    /// Blocks in a row, and rows, that the picture needs.
    needed: [usize; 2],
    /// As they are when the component's first scan begins, as in libjpeg.
    steps: Option<Block>,
    /// The lowest bit that is known of every coefficient, in zigzag order.
    low_bits: [Option<u8>; 64],
}

impl Store {
    /// Memory for all coefficients.
    pub(super) fn bytes(frame: &Frame) -> u64 {
        let blocks = frame.components.iter().map(|component| frame.blocks(component)).map(|[wide, high]| wide * high);
        (blocks.sum::<usize>() * size_of::<Block>()) as u64
    }

    /// Reads all scans, of which `scan` is the first, and goes on to the end of the image.
    ///
    /// # Errors
    /// Says what is missing or wrong.
    pub(super) fn read<'a>(frame: &Frame, scan: Scan, coded: &'a [u8], markers: &mut Markers<'a>) -> Result<Self, String> {
        let plane = |component| {
            let size = frame.blocks(component);
            let needed = [component.width.div_ceil(8), component.height.div_ceil(8)];
            Plane { blocks: vec![[0; 64]; size[0] * size[1]], size, needed, steps: None, low_bits: [None; 64] }
        };
        let mut store = Self { planes: frame.components.iter().map(plane).collect() };
        let mut next = Some((scan, coded));
        for _ in 0..MAX_SCANS {
            let Some((scan, coded)) = next else {
                store.check()?;
                return Ok(store);
            };
            store.prepare(frame, &scan, markers)?;
            let rest = store.read_scan(frame, &scan, Entropy::new(coded, markers.restart_interval()), markers)?;
            markers.resume(rest);
            next = markers.next_scan()?;
        }
        Err(format!("it has more than {MAX_SCANS} scans"))
    }

    /// Notes what `scan` will have told.
    fn prepare(&mut self, frame: &Frame, scan: &Scan, markers: &Markers) -> Result<(), Fault> {
        for of in &scan.components {
            let plane = &mut self.planes[of.index];
            if plane.steps.is_none() {
                plane.steps = Some(markers.quantization(&frame.components[of.index])?);
            }
            let before = (scan.high_bit > 0).then_some(scan.high_bit);
            for low_bit in &mut plane.low_bits[scan.band[0]..=scan.band[1]] {
                if *low_bit != before {
                    return Err("its scans do not follow on each other");
                }
                *low_bit = Some(scan.low_bit);
            }
        }
        Ok(())
    }

    /// Whether the scans told enough.
    ///
    /// From what libjpeg guesses where one of the first ten coefficients is not exact ("block smoothing", `jdcoefct.c`), nothing is made here.
    fn check(&self) -> Result<(), Fault> {
        if self.planes.iter().any(|plane| plane.low_bits[..10] != [Some(0); 10]) { Err("it ends before its last scan") } else { Ok(()) }
    }

    /// Returns what follows the scan.
    fn read_scan<'a>(&mut self, frame: &Frame, scan: &Scan, entropy: Entropy<'a>, markers: &Markers<'a>) -> Result<&'a [u8], Fault> {
        let tables: Vec<_> = scan.components.iter().map(|of| (markers.dc_table(*of), markers.ac_table(*of))).collect();
        let dc = |part: usize| tables[part].0;
        let ac = |part: usize| tables[part].1;
        match (frame.progressive, scan.band[0], scan.high_bit) {
            (false, ..) => self.walk(frame, scan, entropy, |entropy, part, block| entropy.whole_block(part, dc(part)?, ac(part)?, block)),
            (true, 0, 0) => self.walk(frame, scan, entropy, |entropy, part, block| entropy.mean(part, dc(part)?, scan, block)),
            (true, 0, _) => self.walk(frame, scan, entropy, |entropy, _, block| {
                entropy.refine_mean(scan, block);
                Ok(())
            }),
            (true, _, 0) => self.walk(frame, scan, entropy, |entropy, part, block| entropy.band(ac(part)?, scan, block)),
            (true, ..) => self.walk(frame, scan, entropy, |entropy, part, block| entropy.refine_band(ac(part)?, scan, block)),
        }
    }

    /// Calls `read` with all blocks of the scan, in its order (T.81, A.2), and the number of their component in it; returns what follows the scan.
    fn walk<'a>(
        &mut self,
        frame: &Frame,
        scan: &Scan,
        mut entropy: Entropy<'a>,
        mut read: impl FnMut(&mut Entropy<'a>, usize, &mut Block) -> Result<(), Fault>,
    ) -> Result<&'a [u8], Fault> {
        if let [of] = scan.components.as_slice() {
            let plane = &mut self.planes[of.index];
            for row in plane.blocks.chunks_exact_mut(plane.size[0]).take(plane.needed[1]) {
                for block in &mut row[..plane.needed[0]] {
                    entropy.begin_mcu()?;
                    read(&mut entropy, 0, block)?;
                }
                entropy.check()?;
            }
            return Ok(entropy.rest());
        }
        for mcu_y in 0..frame.mcus_high() {
            for mcu_x in 0..frame.mcus_wide() {
                entropy.begin_mcu()?;
                for (part, of) in scan.components.iter().enumerate() {
                    let (plane, sampling) = (&mut self.planes[of.index], frame.components[of.index].sampling);
                    for y in 0..sampling.vertical {
                        let first = (mcu_y * sampling.vertical + y) * plane.size[0] + mcu_x * sampling.horizontal;
                        for block in &mut plane.blocks[first..first + sampling.horizontal] {
                            read(&mut entropy, part, block)?;
                        }
                    }
                }
            }
            entropy.check()?;
        }
        Ok(entropy.rest())
    }

    /// Makes the needed pixels of the coefficients.
    pub(super) fn render(&self, frame: &Frame, mut renderer: Renderer) {
        let [columns, rows] = renderer.needed();
        for mcu_y in rows {
            for (of, (plane, component)) in self.planes.iter().zip(&frame.components).enumerate() {
                let Sampling { horizontal: wide, vertical: high } = component.sampling;
                let rows = plane.blocks.chunks_exact(plane.size[0]).take(plane.needed[1]).skip(mcu_y * high).take(high);
                let Some(steps) = &plane.steps else { continue };
                for (y, row) in rows.enumerate() {
                    let blocks = row[..plane.needed[0]].iter().enumerate();
                    for (x, block) in blocks.take(columns.end * wide).skip(columns.start * wide) {
                        renderer.transform(of, [x, y], block, steps);
                    }
                }
            }
            renderer.finish_row(mcu_y);
        }
    }
}
