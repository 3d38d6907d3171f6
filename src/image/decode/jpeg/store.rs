//! Pictures whose coefficients come in several scans, and are kept until the last one.

use std::ops::Range;

use super::entropy::{Entropy, Partial};
use super::huffman::Fault;
use super::kernels::Block;
use super::markers::{BLOCK, Component, Frame, Markers, Sampling, Scan};
use super::render::Renderer;

/// Bounds the work on a file of few bytes; encoders make some ten scans.
const MAX_SCANS: usize = 100;

/// The coefficients of a picture.
pub(super) struct Store {
    planes: Vec<Plane>,
}

/// The coefficients of a component.
struct Plane {
    /// Which coefficients of every block are not zero, as [`Partial`] has it; of sequential scans, whether any may be.
    nonzero: Vec<u64>,
    /// The blocks whose pixels are wanted.
    blocks: Vec<Block>,
    /// Columns and rows of these.
    kept: [Range<usize>; 2],
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
        (blocks.sum::<usize>() * (size_of::<Block>() + size_of::<u64>())) as u64
    }

    /// Reads all scans, of which `scan` is the first, and goes on to the end of the image; keeps the coefficients of the `needed` columns and rows of
    /// MCUs.
    ///
    /// # Errors
    /// Says what is missing or wrong.
    pub(super) fn read<'a>(
        frame: &Frame,
        needed: &[Range<usize>; 2],
        scan: Scan,
        coded: &'a [u8],
        markers: &mut Markers<'a>,
    ) -> Result<Self, String> {
        let mut store = Self { planes: frame.components.iter().map(|component| Plane::new(frame, component, needed)).collect() };
        let mut next = Some((scan, coded));
        for _ in 0..MAX_SCANS {
            let Some((scan, coded)) = next else {
                store.check()?;
                return Ok(store);
            };
            store.prepare(frame, &scan, markers)?;
            let rest = store.read_scan(frame, &scan, Entropy::new(coded, markers.restart_interval()), markers)?;
            markers.resume(rest);
            next = match markers.next_scan() {
                // What follows the last scan, if anything, does not matter.
                Err(_) if store.is_whole() => None,
                next => next?,
            };
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

    /// Whether every bit of every coefficient is known.
    fn is_whole(&self) -> bool {
        self.planes.iter().all(|plane| plane.low_bits == [Some(0); 64])
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
            (false, ..) => self.walk(frame, scan, entropy, |entropy, part, block| match block.coefficients {
                Some(coefficients) => {
                    let varies = entropy.whole_block(part, dc(part)?, ac(part)?, coefficients)?;
                    *block.nonzero = u64::from(varies);
                    Ok(())
                }
                None => entropy.skip_block(part, dc(part)?, ac(part)?),
            }),
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
        mut read: impl FnMut(&mut Entropy<'a>, usize, Partial) -> Result<(), Fault>,
    ) -> Result<&'a [u8], Fault> {
        if let [of] = scan.components.as_slice() {
            let plane = &mut self.planes[of.index];
            let [wide, high] = plane.needed;
            for y in 0..high {
                for x in 0..wide {
                    if entropy.begin_mcu()? {
                        read(&mut entropy, 0, plane.block([x, y]))?;
                    }
                }
                entropy.check()?;
            }
            return Ok(entropy.rest());
        }
        for mcu_y in 0..frame.mcus_high() {
            for mcu_x in 0..frame.mcus_wide() {
                if !entropy.begin_mcu()? {
                    continue;
                }
                for (part, of) in scan.components.iter().enumerate() {
                    let (plane, sampling) = (&mut self.planes[of.index], frame.components[of.index].sampling);
                    for y in 0..sampling.vertical {
                        for x in 0..sampling.horizontal {
                            let block = plane.block([mcu_x * sampling.horizontal + x, mcu_y * sampling.vertical + y]);
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
        let [_, rows] = renderer.needed();
        for mcu_y in rows {
            for (of, (plane, component)) in self.planes.iter().zip(&frame.components).enumerate() {
                let Some(steps) = &plane.steps else { continue };
                let high = component.sampling.vertical;
                for y in 0..high {
                    for (x, block, varies) in plane.row(mcu_y * high + y) {
                        renderer.transform(of, [x, y], block, steps, varies);
                    }
                }
            }
            renderer.finish_row(mcu_y);
        }
    }
}

impl Plane {
    /// For the coefficients of `component` in the columns and rows of MCUs.
    fn new(frame: &Frame, component: &Component, [columns, rows]: &[Range<usize>; 2]) -> Self {
        let (size, Sampling { horizontal, vertical }) = (frame.blocks(component), component.sampling);
        let needed = [component.width, component.height].map(|side| side.div_ceil(BLOCK));
        let kept = [(columns, horizontal, needed[0]), (rows, vertical, needed[1])];
        let kept = kept.map(|(mcus, blocks, needed)| (mcus.start * blocks).min(needed)..(mcus.end * blocks).min(needed));
        Self {
            nonzero: vec![0; size[0] * size[1]],
            blocks: vec![[0; 64]; kept[0].len() * kept[1].len()],
            kept,
            size,
            needed,
            steps: None,
            low_bits: [None; 64],
        }
    }

    /// The block in column `x` and row `y`.
    fn block(&mut self, [x, y]: [usize; 2]) -> Partial<'_> {
        let [columns, rows] = &self.kept;
        let coefficients =
            if columns.contains(&x) && rows.contains(&y) { self.blocks.get_mut((y - rows.start) * columns.len() + x - columns.start) } else { None };
        Partial { nonzero: &mut self.nonzero[y * self.size[0] + x], coefficients }
    }

    /// The blocks of the row `y` that are kept, their columns, and whether they have coefficients other than the mean.
    fn row(&self, y: usize) -> impl Iterator<Item = (usize, &Block, bool)> {
        let [columns, rows] = &self.kept;
        let first = if rows.contains(&y) { (y - rows.start) * columns.len() } else { self.blocks.len() };
        let varies = move |x: usize| self.nonzero[y * self.size[0] + x] != 0;
        columns.clone().zip(&self.blocks[first..]).map(move |(x, block)| (x, block, varies(x)))
    }
}
