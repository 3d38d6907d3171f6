//! The map kernels in terms of vectors, stamped once per instruction set beside `kernels::vector`, whose primitives they use.
//!
//! Some more are needed: `spread::<I>(v)`, of every four lanes the I-th in all four; `prefetch(p)`, which asks for the cache line at p, wherever that
//! points, or does nothing; `panel_size()`, `or_nan(v, a)`, which is NaN where `a` is and else `v`, and the constants `PIXELS`, pixels computed together
//! for panels of 1, 2, 3 and 4 vectors, and `ROW_PIXELS`, the same for 1 and 2 vectors where the compiler knows how far apart they are.

/// Pixels whose panels are computed one after the other while what they read of the input stays in the first cache.
pub(in crate::kernels) const CHUNK: usize = 96;

/// Pixels of a depthwise convolution that are computed together: what the widths 7, 14, 28, 56 and 112 are multiples of.
pub(in crate::kernels) const DEPTHWISE_PIXELS: usize = 7;

/// Where one tap after the other lies, in values.
#[derive(Debug, Clone, Copy)]
pub(in crate::kernels) struct Taps {
    pub(in crate::kernels) rows: usize,
    pub(in crate::kernels) row_step: usize,
    pub(in crate::kernels) columns: usize,
    pub(in crate::kernels) column_step: usize,
    /// Contiguous values that each tap reads.
    pub(in crate::kernels) depth: usize,
}

/// Values of a pixel that meet their weights in one go, where there are at least twice as many: with panels of 64 channels, 128 KB of weights.
const SEGMENT: usize = 512;

/// Some of a panel's taps, which all pixels of a chunk meet before the next ones: so their weights stay in the second cache meanwhile, and the next
/// come from memory while there is work to do.
#[derive(Debug, Clone, Copy)]
pub(in crate::kernels) struct Segment {
    pub(in crate::kernels) taps: Taps,
    /// Where its first value lies, from a pixel's first tap on.
    pub(in crate::kernels) offset: usize,
    /// Values of a pixel in the segments before.
    pub(in crate::kernels) done: usize,
    pub(in crate::kernels) last: bool,
}

/// Rows of taps, or parts of one where each is long.
pub(in crate::kernels) fn segments(taps: Taps) -> Vec<Segment> {
    let row = taps.columns * taps.depth;
    if taps.rows * row < 2 * SEGMENT {
        return vec![Segment { taps, offset: 0, done: 0, last: true }];
    }
    let rows = (SEGMENT / row).max(1);
    let parts = if taps.columns == 1 { taps.depth.div_ceil(SEGMENT) } else { 1 };
    let places = (0..taps.rows).step_by(rows).flat_map(|first| (0..parts).map(move |part| (first, part)));
    places
        .map(|(first, part)| {
            let depth = taps.depth * part / parts..taps.depth * (part + 1) / parts;
            let taps_of_it = Taps { rows: rows.min(taps.rows - first), depth: depth.len(), ..taps };
            let last = first + rows >= taps.rows && part + 1 == parts;
            Segment { taps: taps_of_it, offset: first * taps.row_step + depth.start, done: first * row + depth.start, last }
        })
        .collect()
}

/// Values between the first taps of two neighbouring pixels where a convolution begins with every other pixel of a picture.
pub(in crate::kernels) const ROW_DISTANCE: usize = 6;

macro_rules! map_kernels {
    ($proof:ident, $features:literal) => {
        impl crate::kernels::maps::MapKernels for $proof {
            fn panel_size(&self) -> PanelSize {
                PANEL_SIZE
            }

            fn convolve(&self, convolution: &Convolution, input: Map<'_>, shortcut: Option<Map<'_>>, output: &mut MapMut<'_>) {
                // SAFETY: possession of `self` proves the features. `maps::convolve` asserted that the window fits, so that by the limits of sizes
                // (`maps::limits`) all taps lie in the input's memory, and that the shortcut has the output's size.
                unsafe { convolve(convolution, input, shortcut, output) }
            }

            fn convolve_depthwise(&self, convolution: &Depthwise, input: Map<'_>, output: &mut MapMut<'_>) {
                // SAFETY: possession of `self` proves the features. `maps::convolve_depthwise` asserted that the window fits, so that by the limits of
                // sizes (`maps::limits`) all taps lie in the input's memory.
                unsafe { convolve_depthwise(convolution, input, output) }
            }

            fn transform_tiles(&self, convolution: &WinogradConvolution, tiles: &[[usize; 2]], input: Map<'_>, transformed: &mut [f32]) {
                // SAFETY: possession of `self` proves the features.
                unsafe {
                    match convolution.tile {
                        WinogradTile::Two => transform_tiles::<4>(convolution, tiles, input, transformed),
                        WinogradTile::Four => transform_tiles::<6>(convolution, tiles, input, transformed),
                    }
                }
            }

            fn finish_tiles(
                &self,
                convolution: &WinogradConvolution,
                tiles: &[[usize; 2]],
                products: &[f32],
                shortcut: Option<Map<'_>>,
                output: &mut MapMut<'_>,
            ) {
                // SAFETY: as above.
                unsafe {
                    match convolution.tile {
                        WinogradTile::Two => finish_tiles::<4, 2>(convolution, tiles, products, shortcut, output),
                        WinogradTile::Four => finish_tiles::<6, 4>(convolution, tiles, products, shortcut, output),
                    }
                }
            }

            fn connect(&self, layer: &Linear, inputs: &[f32], first: usize, outputs: &mut [f32]) {
                // SAFETY: possession of `self` proves the features.
                unsafe { connect(layer, inputs, first, outputs) }
            }

            fn pool(&self, pool: Pool, window: Window, input: Map<'_>, output: &mut MapMut<'_>) {
                // SAFETY: possession of `self` proves the features.
                unsafe { pool_map(pool, window, input, output) }
            }

            fn sum_rows(&self, map: Map<'_>, rows: Range<usize>, divisor: f32, sums: &mut [f32]) {
                // SAFETY: as above.
                unsafe { sum_rows(map, rows, divisor, sums) }
            }

            fn recalibrate(&self, map: &mut MapMut<'_>, gates: &[f32], shortcut: Option<Map<'_>>, epilogue: Epilogue) {
                // SAFETY: as above.
                unsafe { recalibrate(map, gates, shortcut, epilogue) }
            }

            fn add(&self, map: &mut MapMut<'_>, shortcut: Map<'_>, epilogue: Epilogue) {
                // SAFETY: as above.
                unsafe { add_map(map, shortcut, epilogue) }
            }

            fn activate(&self, map: &mut MapMut<'_>, epilogue: Epilogue) {
                // SAFETY: as above.
                unsafe { activate_map(map, epilogue) }
            }

            fn range(&self, map: Map<'_>) -> (f32, f32) {
                // SAFETY: as above.
                unsafe { range_map(map) }
            }

            fn prelu(&self, map: &mut MapMut<'_>, slopes: &[f32]) {
                // SAFETY: as above.
                unsafe { prelu_map(map, slopes) }
            }
        }

        /// Where up to `CHUNK` pixels lie in the maps, and which channels are computed.
        struct Chunk {
            pixels: usize,
            inputs: [usize; CHUNK],
            outputs: [*mut f32; CHUNK],
            shortcuts: [usize; CHUNK],
            /// The first channel of all that is computed, to which `outputs` point.
            first: usize,
        }

        /// # Safety
        /// All taps of every pixel of `output` must lie in `input`'s memory: [`Window::fits`] must hold. `input` must have the convolution's channels.
        #[target_feature(enable = $features)]
        unsafe fn convolve(convolution: &Convolution, input: Map<'_>, shortcut: Option<Map<'_>>, output: &mut MapMut<'_>) {
            let (window, layout) = (&convolution.shape.window(), &input.layout());
            let segments = segments(taps(window, layout, convolution.depth, convolution.shape.groups() == 1));
            let panels = convolution.panels(output.channels());
            let outputs = [std::ptr::null_mut(); CHUNK];
            let mut chunk = Chunk { pixels: 0, inputs: [0; CHUNK], outputs, shortcuts: [0; CHUNK], first: output.channels().start };
            let rest = output.pixels().len();
            // Chunks of one size, so that the last one is not a small one.
            let size = rest.div_ceil(rest.div_ceil(CHUNK).max(1)).next_multiple_of(PIXELS[PANEL_SIZE.usual - 1]).min(CHUNK);
            let narrow = narrow_panel(convolution, panels, &segments, layout).filter(|_| shortcut.is_none());
            for (y, mut columns) in output.rows() {
                if let Some((panel, taps)) = narrow {
                    let pixels = ROW_PIXELS[panel.vectors - 1];
                    while columns.len() >= pixels {
                        let from = &input.data()[first_tap(window, layout, y, columns.start) + panel.input..];
                        // SAFETY: the taps of all pixels are inside `input`, as the caller answers for, and the panel's channels with them, since
                        // `Convolution::new` made them some of the shape's; it is the panel of all channels of `output`.
                        unsafe {
                            match panel.vectors {
                                1 => row_tile::<{ ROW_PIXELS[0] }, 1>(convolution, panel, taps, from, [y, columns.start], output),
                                _ => row_tile::<{ ROW_PIXELS[1] }, 2>(convolution, panel, taps, from, [y, columns.start], output),
                            }
                        }
                        columns.start += pixels;
                    }
                }
                for (x, pixel) in columns.clone().zip(output.pixels_of_row(y, columns)) {
                    chunk.inputs[chunk.pixels] = first_tap(window, layout, y, x);
                    chunk.outputs[chunk.pixels] = pixel.as_mut_ptr();
                    chunk.shortcuts[chunk.pixels] = shortcut.map_or(0, |s| s.layout().offset(y, x));
                    chunk.pixels += 1;
                    if chunk.pixels == size {
                        // SAFETY: they are pixels of `output`, whose taps the caller answers for, and `panels` found those of its channels.
                        unsafe { convolve_chunk(convolution, panels, &segments, &chunk, input.data(), shortcut.map(|s| s.data())) };
                        chunk.pixels = 0;
                    }
                }
            }
            // SAFETY: as above.
            unsafe { convolve_chunk(convolution, panels, &segments, &chunk, input.data(), shortcut.map(|s| s.data())) };
        }

        /// The only panel and the taps of a convolution that [`row_tile`] computes.
        fn narrow_panel<'a>(c: &Convolution, panels: &'a [Panel], segments: &'a [Segment], input: &Layout) -> Option<(&'a Panel, &'a Taps)> {
            let ([panel], [Segment { taps, .. }]) = (panels, segments) else { return None };
            let distance = c.shape.window().stride()[1] * input.stride();
            (panel.vectors <= ROW_PIXELS.len() && taps.columns == 1 && distance == ROW_DISTANCE && c.slopes.is_empty() && !c.quads)
                .then_some((panel, taps))
        }

        /// `P` neighbouring pixels whose taps begin `ROW_DISTANCE` values apart: no register has to say where each is, and more are left for sums.
        ///
        /// # Safety
        /// All taps of the pixels must lie in the input, and the panel must have `V` vectors and all channels of the output. `input` begins with the
        /// panel's first channel of the first tap of the pixel at `y` and `x`.
        #[target_feature(enable = $features)]
        unsafe fn row_tile<const P: usize, const V: usize>(
            c: &Convolution,
            panel: &Panel,
            taps: &Taps,
            input: &[f32],
            [y, x]: [usize; 2],
            output: &mut MapMut<'_>,
        ) {
            let mut to = [std::ptr::null_mut(); P];
            for (to, pixel) in to.iter_mut().zip(output.pixels_of_row(y, x..x + P)) {
                *to = pixel.as_mut_ptr().cast();
            }
            let mut sums = [[splat(0.0); V]; P];
            // SAFETY: the taps of all pixels are inside `input`, as the caller answers for, and the panel's weights and biases, which
            // `Convolution::new` packed for as many taps after it had checked their number, are inside theirs.
            unsafe {
                let bias = c.bias.as_ptr().add(panel.bias).cast::<[f32; LANES]>();
                for v in 0..V {
                    let bias = load(&*bias.add(v));
                    for p in 0..P {
                        sums[p][v] = bias;
                    }
                }
                add_row(input.as_ptr(), taps, c.weights.as_ptr().add(panel.weights), &mut sums);
                store_tile(sums, to, panel.outputs - (V - 1) * LANES, c.epilogue);
            }
        }

        /// # Safety
        /// As for `tile`, of pixels that begin `ROW_DISTANCE` values apart.
        #[inline]
        #[target_feature(enable = $features)]
        unsafe fn add_row<const P: usize, const V: usize>(pixels: *const f32, taps: &Taps, weights: *const f32, sums: &mut [[Vector; V]; P]) {
            let mut weights = weights.cast::<[f32; LANES]>();
            // SAFETY: the caller's.
            unsafe {
                for row in 0..taps.rows {
                    for at in row * taps.row_step..row * taps.row_step + taps.depth {
                        let mut w = [splat(0.0); V];
                        for v in 0..V {
                            w[v] = load(&*weights.add(v));
                        }
                        for p in 0..P {
                            let x = splat(*pixels.add(at + p * ROW_DISTANCE));
                            for v in 0..V {
                                sums[p][v] = fma(x, w[v], sums[p][v]);
                            }
                        }
                        weights = weights.add(V);
                    }
                }
            }
        }

        /// # Safety
        /// As for `convolve`, of the pixels of `chunk`, to whose outputs all channels of `panels` must be writable.
        #[target_feature(enable = $features)]
        unsafe fn convolve_chunk(c: &Convolution, panels: &[Panel], segments: &[Segment], chunk: &Chunk, input: &[f32], shortcut: Option<&[f32]>) {
            // SAFETY: the caller's.
            unsafe {
                for panel in panels {
                    match panel.vectors {
                        1 => convolve_panel::<{ PIXELS[0] }, 1>(c, panel, segments, chunk, input, shortcut),
                        2 => convolve_panel::<{ PIXELS[1] }, 2>(c, panel, segments, chunk, input, shortcut),
                        3 => convolve_panel::<{ PIXELS[2] }, 3>(c, panel, segments, chunk, input, shortcut),
                        _ => convolve_panel::<{ PIXELS[3] }, 4>(c, panel, segments, chunk, input, shortcut),
                    }
                }
            }
        }

        /// # Safety
        /// As for `convolve_chunk`; the panel has `V` vectors.
        #[target_feature(enable = $features)]
        unsafe fn convolve_panel<const P: usize, const V: usize>(
            c: &Convolution,
            panel: &Panel,
            segments: &[Segment],
            chunk: &Chunk,
            input: &[f32],
            shortcut: Option<&[f32]>,
        ) {
            // Tiles of one size or one less, rather than whole ones and a small rest.
            let tiles = chunk.pixels.div_ceil(P);
            let mut all_sums = if segments.len() > 1 { vec![[splat(0.0); V]; chunk.pixels] } else { vec![] };
            for segment in segments {
                let mut first = 0;
                for tile in 1..=tiles {
                    let end = chunk.pixels * tile / tiles;
                    let sums = all_sums.get_mut(first..end).unwrap_or_default();
                    let data = (input, shortcut);
                    // SAFETY: the caller's.
                    unsafe {
                        match end - first {
                            1 => convolve_tile::<1, V>(c, panel, segment, chunk, first, data, sums),
                            2 if P > 2 => convolve_tile::<2, V>(c, panel, segment, chunk, first, data, sums),
                            3 if P > 3 => convolve_tile::<3, V>(c, panel, segment, chunk, first, data, sums),
                            4 if P > 4 => convolve_tile::<4, V>(c, panel, segment, chunk, first, data, sums),
                            5 if P > 5 => convolve_tile::<5, V>(c, panel, segment, chunk, first, data, sums),
                            6 if P > 6 => convolve_tile::<6, V>(c, panel, segment, chunk, first, data, sums),
                            7 if P > 7 => convolve_tile::<7, V>(c, panel, segment, chunk, first, data, sums),
                            _ => convolve_tile::<P, V>(c, panel, segment, chunk, first, data, sums),
                        }
                    }
                    first = end;
                }
            }
        }

        /// `P` pixels times `V` vectors of output channels, whose sums stay in registers; between the segments, they are in `kept`.
        ///
        /// # Safety
        /// As for `convolve`, of `P` pixels of `chunk` from `first`; the panel has `V` vectors.
        #[inline]
        #[target_feature(enable = $features)]
        unsafe fn convolve_tile<const P: usize, const V: usize>(
            c: &Convolution,
            panel: &Panel,
            segment: &Segment,
            chunk: &Chunk,
            first: usize,
            (input, shortcut): (&[f32], Option<&[f32]>),
            kept: &mut [[Vector; V]],
        ) {
            let taps = &segment.taps;
            let channel = panel.first - chunk.first;
            let mut sums = [[splat(0.0); V]; P];
            // SAFETY: the taps of all pixels are inside `input`, as the caller answers for (`Window::fits`), and the panel's weights and biases, whose
            // number `Convolution::new` checked before it packed them for this
            // shape, are inside theirs.
            unsafe {
                let mut pixels = [input.as_ptr(); P];
                for p in 0..P {
                    pixels[p] = input.as_ptr().add(chunk.inputs[first + p] + panel.input + segment.offset);
                }
                let weights = c.weights.as_ptr().add(panel.weights + segment.done * V * LANES);
                // Meanwhile the next segment's weights, or the next panel's, come from memory, a part of them with every tile.
                let size = taps.rows * taps.columns * taps.depth * V * LANES;
                let ahead = weights.wrapping_add(size + size / chunk.pixels * first);
                if segment.done == 0 {
                    let bias = c.bias.as_ptr().add(panel.bias).cast::<[f32; LANES]>();
                    for v in 0..V {
                        let bias = load(&*bias.add(v));
                        for p in 0..P {
                            sums[p][v] = bias;
                        }
                    }
                } else {
                    sums.copy_from_slice(kept);
                }
                match V == 1 && c.quads {
                    true => quad_tile(pixels, taps, weights, &mut sums),
                    false => tile::<P, V>(pixels, taps, weights, &mut sums, (ahead, V * LANES * P / chunk.pixels)),
                }
            }
            if !segment.last {
                return kept.copy_from_slice(&sums);
            }
            // The channels of the last vector.
            let last = panel.outputs - (V - 1) * LANES;
            if let Some(shortcut) = shortcut {
                for p in 0..P {
                    let from = &shortcut[chunk.shortcuts[first + p] + channel..][..panel.outputs];
                    for (sum, from) in sums[p].iter_mut().zip(from.chunks(LANES)) {
                        *sum = add(*sum, load_part(from));
                    }
                }
            }
            if !c.slopes.is_empty() {
                for (v, slopes) in c.slopes[panel.bias..][..V * LANES].as_chunks().0.iter().enumerate() {
                    let slopes = load(slopes);
                    for p in 0..P {
                        sums[p][v] = leaky_relu(sums[p][v], slopes);
                    }
                }
            }
            let mut to = [std::ptr::null_mut(); P];
            for p in 0..P {
                // SAFETY: the panel's channels are some of `output`'s, to whose first one the pointer points.
                to[p] = unsafe { chunk.outputs[first + p].add(channel) }.cast();
            }
            // SAFETY: each of the pointers stands at the channels of the panel, of a pixel of its own.
            unsafe { store_tile(sums, to, last, c.epilogue) };
        }

        /// The epilogue is chosen once for all sums, which stay in registers.
        ///
        /// # Safety
        /// To every pointer V vectors must be writable, of whose last one the first `last` values.
        #[inline]
        #[target_feature(enable = $features)]
        unsafe fn store_tile<const P: usize, const V: usize>(sums: [[Vector; V]; P], to: [*mut [f32; LANES]; P], last: usize, epilogue: Epilogue) {
            // SAFETY: the caller's.
            unsafe {
                match (epilogue.before, epilogue.nonlinearity, epilogue.after) {
                    (None, Nonlinearity::Identity, None) => store_tile_as(sums, to, last, |x| x),
                    (None, Nonlinearity::Clamp { min: least, max: most }, None) => {
                        store_tile_as(sums, to, last, |x| min(splat(most), max(splat(least), x)));
                    }
                    (None, Nonlinearity::HardSwish, None) => store_tile_as(sums, to, last, |x| mul(x, hard_sigmoid(x))),
                    (None, Nonlinearity::Silu, None) => store_tile_as(sums, to, last, |x| mul(x, sigmoid(x))),
                    (None, Nonlinearity::Identity, Some(grid)) => store_tile_as(sums, to, last, |x| round_to(grid, x)),
                    _ => store_tile_as(sums, to, last, |x| finish(epilogue, x)),
                }
            }
        }

        /// # Safety
        /// As for `store_tile`.
        #[inline]
        #[target_feature(enable = $features)]
        unsafe fn store_tile_as<const P: usize, const V: usize>(
            sums: [[Vector; V]; P],
            to: [*mut [f32; LANES]; P],
            last: usize,
            nonlinearity: impl Fn(Vector) -> Vector,
        ) {
            for p in 0..P {
                for v in 0..V {
                    // SAFETY: the caller's.
                    unsafe {
                        if v + 1 < V || last == LANES {
                            store(&mut *to[p].add(v), nonlinearity(sums[p][v]));
                        } else {
                            store_tail(std::slice::from_raw_parts_mut(to[p].add(v).cast(), last), nonlinearity(sums[p][v]));
                        }
                    }
                }
            }
        }

        /// # Safety
        /// From every pixel, all taps must be readable, and all their weights in a panel of `V` vectors; `ahead` may point anywhere.
        #[inline]
        #[target_feature(enable = $features)]
        unsafe fn tile<const P: usize, const V: usize>(
            pixels: [*const f32; P],
            taps: &Taps,
            weights: *const f32,
            sums: &mut [[Vector; V]; P],
            (mut ahead, step): (*const f32, usize),
        ) {
            let mut weights = weights.cast::<[f32; LANES]>();
            // SAFETY: the caller's.
            unsafe {
                for row in 0..taps.rows {
                    for column in 0..taps.columns {
                        let tap = row * taps.row_step + column * taps.column_step;
                        for at in tap..tap + taps.depth {
                            prefetch(ahead);
                            ahead = ahead.wrapping_add(step);
                            let mut w = [splat(0.0); V];
                            for v in 0..V {
                                w[v] = load(&*weights.add(v));
                            }
                            for p in 0..P {
                                let x = splat(*pixels[p].add(at));
                                for v in 0..V {
                                    sums[p][v] = fma(x, w[v], sums[p][v]);
                                }
                            }
                            weights = weights.add(V);
                        }
                    }
                }
            }
        }

        /// Groups of four channels, each in a quarter of 16 lanes or the like: an input meets the weights of its four outputs.
        ///
        /// # Safety
        /// As for `tile`, of four inputs for each weight that an output has; from every pixel, a vector must be readable.
        #[inline]
        #[target_feature(enable = $features)]
        unsafe fn quad_tile<const P: usize, const V: usize>(pixels: [*const f32; P], taps: &Taps, weights: *const f32, sums: &mut [[Vector; V]; P]) {
            let mut weights = weights.cast::<[f32; LANES]>();
            // SAFETY: the caller's.
            unsafe {
                for row in 0..taps.rows {
                    for column in 0..taps.columns {
                        let tap = row * taps.row_step + column * taps.column_step;
                        let [a, b, c, d] = [0, 1, 2, 3].map(|input| *weights.add(input));
                        for p in 0..P {
                            let x = load(&*pixels[p].add(tap).cast::<[f32; LANES]>());
                            let sum = fma(spread::<0>(x), load(&a), fma(spread::<1>(x), load(&b), sums[p][0]));
                            sums[p][0] = fma(spread::<2>(x), load(&c), fma(spread::<3>(x), load(&d), sum));
                        }
                        weights = weights.add(4);
                    }
                }
            }
        }

        /// # Safety
        /// All taps of every pixel of `output` must lie in `input`'s memory: [`Window::fits`] must hold. `input` must have the channels of `output`.
        #[target_feature(enable = $features)]
        unsafe fn convolve_depthwise(c: &Depthwise, input: Map<'_>, output: &mut MapMut<'_>) {
            let (window, layout) = (&c.window, &input.layout());
            let taps = taps(window, layout, 1, false);
            let tile = match (window.kernel()[1], window.stride()[1]) {
                _ if window.dilation()[1] != 1 || output.channels().len() < LANES => None,
                (1, 1) => Some(depthwise_tile::<1, 1> as unsafe fn(&_, &_, _, &_, _, &mut _)),
                (3, 1) => Some(depthwise_tile::<3, 1> as _),
                (3, 2) => Some(depthwise_tile::<3, 2> as _),
                (5, 1) => Some(depthwise_tile::<5, 1> as _),
                (5, 2) => Some(depthwise_tile::<5, 2> as _),
                (7, 1) => Some(depthwise_tile::<7, 1> as _),
                (7, 2) => Some(depthwise_tile::<7, 2> as _),
                _ => None,
            };
            for (y, columns) in output.rows() {
                let mut x = columns.start;
                while x < columns.end {
                    match tile {
                        Some(tile) if columns.len() >= DEPTHWISE_PIXELS => {
                            // The last tile of a row begins where it still fits, and computes some pixels once more.
                            x = x.min(columns.end - DEPTHWISE_PIXELS);
                            let from = &input.data()[first_tap(window, layout, y, x)..];
                            // SAFETY: the taps of all pixels of the row are inside `input`, as the caller answers for (`Window::fits`), and there is
                            // a vector of channels where there is a `tile`.
                            unsafe { tile(c, &taps, layout.stride(), from, [y, x], output) };
                            x += DEPTHWISE_PIXELS;
                        }
                        _ => {
                            let first = output.channels().start;
                            depthwise_pixel(c, &taps, &input.data()[first_tap(window, layout, y, x)..], first, output.pixel(y, x));
                            x += 1;
                        }
                    }
                }
            }
        }

        /// `DEPTHWISE_PIXELS` neighbouring pixels of a window that is `K` wide and moves by `S`; every value of a row is read once for all its taps.
        ///
        /// # Safety
        /// All taps of the pixels, `stride` values apart, must lie in the input, and there must be a vector of channels. `input` begins with the
        /// first tap of the pixel at `y` and `x`.
        #[target_feature(enable = $features)]
        unsafe fn depthwise_tile<const K: usize, const S: usize>(
            c: &Depthwise,
            taps: &Taps,
            stride: usize,
            input: &[f32],
            [y, x]: [usize; 2],
            output: &mut MapMut<'_>,
        ) {
            let channels = output.channels();
            let mut pixels = [std::ptr::null_mut(); DEPTHWISE_PIXELS];
            for (to, pixel) in pixels.iter_mut().zip(output.pixels_of_row(y, x..x + DEPTHWISE_PIXELS)) {
                *to = pixel.as_mut_ptr();
            }
            let mut channel = 0;
            while channel < channels.len() {
                // The last vector begins where it still fits, and computes some channels once more.
                channel = channel.min(channels.len() - LANES);
                let of_all = channels.start + channel;
                let mut sums = [[splat(0.0); 1]; DEPTHWISE_PIXELS];
                // SAFETY: the caller's; and the weights and biases of the channels are inside theirs, whose numbers `Depthwise::new` checked.
                unsafe {
                    let bias = load(&*c.bias.as_ptr().add(of_all).cast::<[f32; LANES]>());
                    for p in 0..DEPTHWISE_PIXELS {
                        sums[p] = [bias];
                    }
                    for row in 0..taps.rows {
                        let values = input.as_ptr().add(row * taps.row_step + channel);
                        for k in 0..K {
                            let w = load(&*c.weights.as_ptr().add((row * K + k) * c.channels + of_all).cast::<[f32; LANES]>());
                            for p in 0..DEPTHWISE_PIXELS {
                                let x = values.add((p * S + k) * stride).cast::<[f32; LANES]>();
                                sums[p] = [fma(load(&*x), w, sums[p][0])];
                            }
                        }
                    }
                    if !c.slopes.is_empty() {
                        let slopes = load_first(&c.slopes[of_all..]);
                        for p in 0..DEPTHWISE_PIXELS {
                            sums[p] = [leaky_relu(sums[p][0], slopes)];
                        }
                    }
                    let mut places = [std::ptr::null_mut(); DEPTHWISE_PIXELS];
                    for p in 0..DEPTHWISE_PIXELS {
                        places[p] = pixels[p].add(channel).cast();
                    }
                    store_tile(sums, places, LANES, c.epilogue);
                }
                channel += LANES;
            }
        }

        /// One pixel of any window, its channels from `first` on; `input` begins with its first tap.
        #[target_feature(enable = $features)]
        fn depthwise_pixel(c: &Depthwise, taps: &Taps, input: &[f32], first: usize, output: &mut [f32]) {
            for (vector, output) in output.chunks_mut(LANES).enumerate() {
                let channels = vector * LANES..vector * LANES + output.len();
                let mut sum = load_part(&c.bias[first..][channels.clone()]);
                for row in 0..taps.rows {
                    for column in 0..taps.columns {
                        let weights = &c.weights[(row * taps.columns + column) * c.channels + first..][channels.clone()];
                        let values = &input[row * taps.row_step + column * taps.column_step..][channels.clone()];
                        sum = fma(load_part(values), load_part(weights), sum);
                    }
                }
                if !c.slopes.is_empty() {
                    sum = leaky_relu(sum, load_part(&c.slopes[first..][channels]));
                }
                store_part(output, finish(c.epilogue, sum));
            }
        }

        /// Tiles of `T` rows and columns.
        #[target_feature(enable = $features)]
        fn transform_tiles<const T: usize>(c: &WinogradConvolution, tiles: &[[usize; 2]], input: Map<'_>, transformed: &mut [f32]) {
            let layout = input.layout();
            let (channels, stride, row_step) = (layout.channels(), layout.stride(), layout.row());
            let (border, padding) = (layout.border(), c.window.padding());
            let (height, width) = (layout.height() + 2 * border, layout.width() + 2 * border);
            for (tile, [y, x]) in tiles.iter().enumerate() {
                let [y, x] = [y + border - padding[0], x + border - padding[1]];
                let (rows, columns) = (T.min(height - y), T.min(width - x));
                let mut channel = 0;
                while channel < channels {
                    // The last vector begins where it still fits, and transforms some channels once more.
                    channel = channel.min(channels - LANES);
                    let mut half = [[splat(0.0); T]; T];
                    for row in 0..rows {
                        let mut values = [splat(0.0); T];
                        let from = &input.data()[(y + row) * row_step + x * stride + channel..];
                        for column in 0..T {
                            if column < columns {
                                values[column] = load_first(&from[column * stride..]);
                            }
                        }
                        half[row] = transform_inputs(values);
                    }
                    for column in 0..T {
                        let mut values = [splat(0.0); T];
                        for row in 0..T {
                            values[row] = half[row][column];
                        }
                        let values = transform_inputs(values);
                        for row in 0..T {
                            let to = ((row * T + column) * tiles.len() + tile) * channels + channel;
                            store_first(&mut transformed[to..], values[row]);
                        }
                    }
                    channel += LANES;
                }
            }
        }

        /// `Bᵀ · x`
        #[inline]
        #[target_feature(enable = $features)]
        fn transform_inputs<const T: usize>(x: [Vector; T]) -> [Vector; T] {
            let mut y = [splat(0.0); T];
            let minus = splat(-1.0);
            if T == 4 {
                y[0] = fma(x[2], minus, x[0]);
                y[1] = add(x[1], x[2]);
                y[2] = fma(x[1], minus, x[2]);
                y[3] = fma(x[3], minus, x[1]);
            } else {
                let (two, four, five) = (splat(2.0), splat(4.0), splat(-5.0));
                let (even, odd) = (fma(x[2], splat(-4.0), x[4]), fma(x[1], splat(-4.0), x[3]));
                let (even_2, odd_2) = (fma(x[2], minus, x[4]), fma(x[1], minus, x[3]));
                y[0] = fma(x[0], four, fma(x[2], five, x[4]));
                y[1] = add(even, odd);
                y[2] = fma(odd, minus, even);
                y[3] = fma(odd_2, two, even_2);
                y[4] = fma(odd_2, splat(-2.0), even_2);
                y[5] = fma(x[1], four, fma(x[3], five, x[5]));
            }
            y
        }

        /// `Aᵀ · x`
        #[inline]
        #[target_feature(enable = $features)]
        fn transform_products<const T: usize, const M: usize>(x: [Vector; T]) -> [Vector; M] {
            let mut y = [splat(0.0); M];
            let minus = splat(-1.0);
            let (sum, difference) = (add(x[1], x[2]), fma(x[2], minus, x[1]));
            if T == 4 {
                y[0] = add(x[0], sum);
                y[1] = fma(x[3], minus, difference);
            } else {
                let (sum_2, difference_2) = (add(x[3], x[4]), fma(x[4], minus, x[3]));
                y[0] = add(x[0], add(sum, sum_2));
                y[1] = fma(difference_2, splat(2.0), difference);
                y[2] = fma(sum_2, splat(4.0), sum);
                y[3] = fma(difference_2, splat(8.0), add(difference, x[5]));
            }
            y
        }

        /// Tiles of `T` rows and columns of products, `M` of pixels.
        #[target_feature(enable = $features)]
        fn finish_tiles<const T: usize, const M: usize>(
            c: &WinogradConvolution,
            tiles: &[[usize; 2]],
            products: &[f32],
            shortcut: Option<Map<'_>>,
            output: &mut MapMut<'_>,
        ) {
            let (all, channels) = (output.layout().channels(), output.channels());
            assert!(channels.len() >= LANES, "channels {channels:?} are less than a vector");
            for (tile, [top, left]) in tiles.iter().enumerate() {
                let mut places = [[std::ptr::null_mut::<f32>(); M]; M];
                for row in 0..M {
                    for column in 0..M {
                        if output.contains(top + row, left + column) {
                            places[row][column] = output.pixel(top + row, left + column).as_mut_ptr();
                        }
                    }
                }
                let mut channel = channels.start;
                while channel < channels.end {
                    channel = channel.min(channels.end - LANES);
                    let bias = load_first(&c.bias[channel..]);
                    let mut half = [[splat(0.0); M]; T];
                    for row in 0..T {
                        let mut values = [splat(0.0); T];
                        for column in 0..T {
                            values[column] = load_first(&products[((row * T + column) * tiles.len() + tile) * all + channel..]);
                        }
                        half[row] = transform_products::<T, M>(values);
                    }
                    for column in 0..M {
                        let mut values = [splat(0.0); T];
                        for row in 0..T {
                            values[row] = half[row][column];
                        }
                        let values = transform_products::<T, M>(values);
                        for row in 0..M {
                            let to = places[row][column];
                            if !to.is_null() {
                                let mut sum = add(values[row], bias);
                                if let Some(shortcut) = shortcut {
                                    let at = shortcut.layout().offset(top + row, left + column) + channel - channels.start;
                                    sum = add(sum, load_first(&shortcut.data()[at..]));
                                }
                                if !c.slopes.is_empty() {
                                    sum = leaky_relu(sum, load_first(&c.slopes[channel..]));
                                }
                                // SAFETY: there is a vector of the pixel's channels from this one on, since there are as many as asserted.
                                store(unsafe { &mut *to.add(channel - channels.start).cast() }, finish(c.epilogue, sum));
                            }
                        }
                    }
                    channel += LANES;
                }
            }
        }

        /// The first vector of `values`, which must have one.
        #[inline]
        #[target_feature(enable = $features)]
        fn load_first(values: &[f32]) -> Vector {
            load(&values.as_chunks().0[0])
        }

        /// Over the first vector of `values`, which must have one.
        #[inline]
        #[target_feature(enable = $features)]
        fn store_first(values: &mut [f32], v: Vector) {
            store(&mut values.as_chunks_mut().0[0], v);
        }

        #[target_feature(enable = $features)]
        fn connect(layer: &Linear, inputs: &[f32], first: usize, outputs: &mut [f32]) {
            for (block, outputs) in outputs.chunks_mut(UNITS).enumerate() {
                let first = first + block * UNITS;
                let weights = &layer.weights[first * inputs.len()..];
                let mut sums = [0.0; UNITS];
                if outputs.len() == UNITS {
                    sums = dots::<UNITS>(weights, inputs);
                } else {
                    for (output, sum) in sums[..outputs.len()].iter_mut().enumerate() {
                        [*sum] = dots::<1>(&weights[output * inputs.len()..], inputs);
                    }
                }
                for (part, outputs) in outputs.chunks_mut(LANES).enumerate() {
                    let range = part * LANES..part * LANES + outputs.len();
                    let sum = add(load_part(&sums[range.clone()]), load_part(&layer.bias[first..][range]));
                    store_part(outputs, finish(layer.epilogue, sum));
                }
            }
        }

        #[target_feature(enable = $features)]
        fn pool_map(pool: Pool, window: Window, input: Map<'_>, output: &mut MapMut<'_>) {
            let layout = input.layout();
            let mut taps = vec![];
            for (y, columns) in output.rows() {
                let tap_rows = window.inside(0, y, layout.height());
                for (x, pixel) in columns.clone().zip(output.pixels_of_row(y, columns)) {
                    let tap_columns = window.inside(1, x, layout.width());
                    taps.clear();
                    for row in tap_rows.clone() {
                        taps.extend(tap_columns.clone().map(|column| layout.offset(row, column)));
                    }
                    let share = match pool {
                        Pool::Max => 1.0,
                        Pool::Average => 1.0 / taps.len().max(1) as f32,
                        Pool::AverageWithPadding => 1.0 / window.taps() as f32,
                    };
                    let (blocks, rest) = pixel.as_chunks_mut::<{ 4 * LANES }>();
                    for (block, to) in blocks.iter_mut().enumerate() {
                        pool_block(pool, &input.data()[block * 4 * LANES..], &taps, share, to);
                    }
                    let done = layout.channels() - rest.len();
                    for (vector, to) in rest.chunks_mut(LANES).enumerate() {
                        let mut sum = pool_start(pool, &taps);
                        for tap in &taps {
                            sum = pool_tap(pool, sum, load_part(&input.data()[tap + done + vector * LANES..][..to.len()]));
                        }
                        store_part(to, mul(sum, splat(share)));
                    }
                }
            }
        }

        /// Four vectors of channels of one pixel.
        #[inline]
        #[target_feature(enable = $features)]
        fn pool_block(pool: Pool, input: &[f32], taps: &[usize], share: f32, output: &mut [f32; 4 * LANES]) {
            let mut sums = [pool_start(pool, taps); 4];
            for tap in taps {
                let values = input[*tap..][..4 * LANES].as_chunks().0;
                for v in 0..4 {
                    sums[v] = pool_tap(pool, sums[v], load(&values[v]));
                }
            }
            let to = output.as_chunks_mut().0;
            for v in 0..4 {
                store(&mut to[v], mul(sums[v], splat(share)));
            }
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn pool_start(pool: Pool, taps: &[usize]) -> Vector {
            splat(if pool == Pool::Max && !taps.is_empty() { f32::NEG_INFINITY } else { 0.0 })
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn pool_tap(pool: Pool, sum: Vector, values: Vector) -> Vector {
            if pool == Pool::Max { or_nan(max(sum, values), sum) } else { add(sum, values) }
        }

        #[target_feature(enable = $features)]
        fn sum_rows(map: Map<'_>, rows: Range<usize>, divisor: f32, sums: &mut [f32]) {
            let layout = map.layout();
            for (block, to) in sums.chunks_mut(4 * LANES).enumerate() {
                let mut sums = [splat(0.0); 4];
                for y in rows.clone() {
                    let mut row = [splat(0.0); 4];
                    for x in 0..layout.width() {
                        let values = &map.data()[layout.offset(y, x) + block * 4 * LANES..][..to.len()];
                        match values.as_chunks() {
                            ([a, b, c, d], []) => {
                                row = [add(row[0], load(a)), add(row[1], load(b)), add(row[2], load(c)), add(row[3], load(d))];
                            }
                            _ => {
                                for (sum, values) in row.iter_mut().zip(values.chunks(LANES)) {
                                    *sum = add(*sum, load_part(values));
                                }
                            }
                        }
                    }
                    for (sum, row) in sums.iter_mut().zip(row) {
                        *sum = add(*sum, row);
                    }
                }
                for (to, sum) in to.chunks_mut(LANES).zip(sums) {
                    store_part(to, div(sum, splat(divisor)));
                }
            }
        }

        #[target_feature(enable = $features)]
        fn recalibrate(map: &mut MapMut<'_>, gates: &[f32], shortcut: Option<Map<'_>>, epilogue: Epilogue) {
            for (y, columns) in map.rows() {
                for (x, pixel) in columns.clone().zip(map.pixels_of_row(y, columns)) {
                    let shortcut = shortcut.map(|s| &s.data()[s.layout().offset(y, x)..][..gates.len()]);
                    for (vector, (values, gates)) in pixel.chunks_mut(LANES).zip(gates.chunks(LANES)).enumerate() {
                        let scaled = match shortcut {
                            Some(shortcut) => fma(load_part(values), load_part(gates), load_part(&shortcut[vector * LANES..][..values.len()])),
                            None => mul(load_part(values), load_part(gates)),
                        };
                        store_part(values, finish(epilogue, scaled));
                    }
                }
            }
        }

        #[target_feature(enable = $features)]
        fn add_map(map: &mut MapMut<'_>, shortcut: Map<'_>, epilogue: Epilogue) {
            let (layout, other) = (map.layout(), shortcut.layout());
            let joined = is_joined(map) && other.stride() == layout.stride();
            let finished = |values: &mut [f32], shortcut: &[f32]| {
                for (values, shortcut) in values.chunks_mut(LANES).zip(shortcut.chunks(LANES)) {
                    store_part(values, finish(epilogue, add(load_part(values), load_part(shortcut))));
                }
            };
            for (y, columns) in map.rows() {
                if joined {
                    let shortcut = &shortcut.data()[other.offset(y, columns.start)..];
                    finished(map.row(y, columns), shortcut);
                    continue;
                }
                for (x, pixel) in columns.clone().zip(map.pixels_of_row(y, columns)) {
                    finished(pixel, &shortcut.data()[other.offset(y, x)..][..shortcut.channels()]);
                }
            }
        }

        #[target_feature(enable = $features)]
        fn activate_map(map: &mut MapMut<'_>, epilogue: Epilogue) {
            let joined = is_joined(map);
            let finished = |values: &mut [f32]| {
                for values in values.chunks_mut(LANES) {
                    store_part(values, finish(epilogue, load_part(values)));
                }
            };
            for (y, columns) in map.rows() {
                match joined {
                    true => finished(map.row(y, columns)),
                    false => map.pixels_of_row(y, columns).for_each(finished),
                }
            }
        }

        /// Whether nothing lies between the pixels of a row: of few channels, most of a vector would be left empty pixel by pixel.
        fn is_joined(map: &MapMut<'_>) -> bool {
            map.channels() == (0..map.layout().stride())
        }

        #[target_feature(enable = $features)]
        fn range_map(map: Map<'_>) -> (f32, f32) {
            crate::kernels::maps::range_of(map)
        }

        #[target_feature(enable = $features)]
        fn prelu_map(map: &mut MapMut<'_>, slopes: &[f32]) {
            for (y, columns) in map.rows() {
                for pixel in map.pixels_of_row(y, columns) {
                    for (values, slopes) in pixel.chunks_mut(LANES).zip(slopes.chunks(LANES)) {
                        store_part(values, leaky_relu(load_part(values), load_part(slopes)));
                    }
                }
            }
        }

        /// Up to a whole vector.
        #[inline]
        #[target_feature(enable = $features)]
        fn load_part(values: &[f32]) -> Vector {
            values.try_into().map_or_else(|_| load_tail(values), |values: &[f32; LANES]| load(values))
        }

        /// Up to a whole vector.
        #[inline]
        #[target_feature(enable = $features)]
        fn store_part(values: &mut [f32], v: Vector) {
            match <&mut [f32; LANES]>::try_from(&mut *values) {
                Ok(values) => store(values, v),
                Err(_) => store_tail(values, v),
            }
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn apply(nonlinearity: Nonlinearity, x: Vector) -> Vector {
            match nonlinearity {
                Nonlinearity::Identity => x,
                Nonlinearity::Clamp { min: least, max: most } => min(splat(most), max(splat(least), x)),
                Nonlinearity::LeakyRelu { slope } => leaky_relu(x, splat(slope)),
                Nonlinearity::Sigmoid => sigmoid(x),
                Nonlinearity::HardSigmoid => hard_sigmoid(x),
                Nonlinearity::Silu => mul(x, sigmoid(x)),
                Nonlinearity::HardSwish => mul(x, hard_sigmoid(x)),
                Nonlinearity::RoundedSilu(grid) => mul(x, round_to(grid, sigmoid(x))),
                Nonlinearity::RoundedHardSwish(grid) => mul(x, round_to(grid, hard_sigmoid(x))),
            }
        }

        /// See [`Grid::round`].
        #[inline]
        #[target_feature(enable = $features)]
        fn round_to(Grid { scale, low, high }: Grid, x: Vector) -> Vector {
            let x = min(splat(high * scale), max(splat(low * scale), x));
            let inverse = splat(1.0 / scale);
            let quotient = mul(x, inverse);
            let rest = fma(quotient, splat(-scale), x);
            mul(round(fma(rest, inverse, quotient)), splat(scale))
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn finish(epilogue: Epilogue, x: Vector) -> Vector {
            let x = epilogue.before.map_or(x, |grid| round_to(grid, x));
            let x = apply(epilogue.nonlinearity, x);
            epilogue.after.map_or(x, |grid| round_to(grid, x))
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn leaky_relu(x: Vector, slope: Vector) -> Vector {
            add(max(splat(0.0), x), mul(slope, min(splat(0.0), x)))
        }

        /// Of a window that fits `input`; where there is only one tap along an axis, its step is never taken.
        fn taps(window: &Window, input: &Layout, depth: usize, all_channels: bool) -> Taps {
            let ([rows, columns], dilation) = (window.kernel(), window.dilation());
            let row_step = dilation[0] * input.row();
            // Where the taps of a row touch, they are one long tap.
            if all_channels && dilation[1] == 1 && depth == input.stride() {
                return Taps { rows, row_step, columns: 1, column_step: 0, depth: columns * depth };
            }
            Taps { rows, row_step, columns, column_step: dilation[1] * input.stride(), depth }
        }

        #[inline]
        fn first_tap(window: &Window, input: &Layout, y: usize, x: usize) -> usize {
            let (stride, padding) = (window.stride(), window.padding());
            let row = y * stride[0] + input.border() - padding[0];
            let column = x * stride[1] + input.border() - padding[1];
            row * input.row() + column * input.stride()
        }
    };
}

pub(in crate::kernels) use map_kernels;
