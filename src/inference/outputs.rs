//! Which output of a network is the one of class scores, and how many there are.

use super::{Ending, EngineError, TensorInfo};
use crate::excerpt::excerpt;

/// Each of which has a label, and a probability in every run; the largest classifiers tell some 100,000 faces apart.
const MAX_CLASSES: usize = 1 << 20;

/// Of inputs or outputs, in a message.
const MOST_NAMES: usize = 8;

/// Outputs of a network; each is looked at.
const MAX_OUTPUTS: usize = 256;

/// Words of a name that say scores, and those that say something else.
const WORDS: [(&str, i8); 16] = [
    ("aux", -2),
    ("logit", 3),
    ("prob", 2),
    ("softmax", 2),
    ("score", 2),
    ("pred", 2),
    ("class", 2),
    ("embed", -1),
    ("feature", -1),
    ("hidden", -1),
    ("pool", -1),
    ("attention", -1),
    ("mask", -1),
    ("gate", -1),
    ("bbox", -1),
    ("loss", -1),
];

/// The number of the output in `outputs` that is taken: the `stated` one, else the one that looks most like the scores of `labels` classes, which is a
/// warning where there are others. `ending` tells what an output's values are.
///
/// # Errors
/// [`EngineError::UnknownOutput`], and [`EngineError::NotAClassifier`] where none looks like scores.
pub(super) fn choose(
    outputs: &[TensorInfo],
    stated: Option<&str>,
    labels: Option<usize>,
    ending: impl Fn(&str) -> Ending,
    warnings: &mut Vec<String>,
) -> Result<usize, EngineError> {
    if outputs.len() > MAX_OUTPUTS {
        return Err(EngineError::NotAClassifier(format!("{} outputs, expected at most {MAX_OUTPUTS}", outputs.len())));
    }
    if let Some(stated) = stated {
        let unknown =
            || EngineError::UnknownOutput { name: excerpt(stated), known: listed(outputs, |output| format!("{:?}", excerpt(&output.name))) };
        return outputs.iter().position(|output| output.name == stated).ok_or_else(unknown);
    }
    if let [_] = outputs {
        return Ok(0);
    }
    let likeness = |at: &usize| {
        let output = &outputs[*at];
        let classes = declared_classes(output)?;
        let labelled = labels.zip(classes).map_or(0, |(labels, classes)| if labels as i64 == classes { 1 } else { -1 });
        Some((labelled, words(&output.name), ending(&output.name) != Ending::Scores, std::cmp::Reverse(*at)))
    };
    let best = (0..outputs.len()).filter_map(|at| Some((likeness(&at)?, at))).max();
    let Some((_, best)) = best else {
        let all = listed(outputs, |output| format!("{} {:?}", excerpt(&output.name), output.shape));
        return Err(EngineError::NotAClassifier(format!("{} outputs ({all}), expected one of them to be scores, [N, classes]", outputs.len())));
    };
    let others: Vec<TensorInfo> = outputs.iter().enumerate().filter(|(at, _)| *at != best).map(|(_, output)| output.clone()).collect();
    let (name, others) = (excerpt(&outputs[best].name), listed(&others, |output| format!("{:?}", excerpt(&output.name))));
    warnings
        .push(format!("the model has {} outputs: {name:?} is taken, and {others} not computed; output.name in model.toml chooses", outputs.len()));
    Ok(best)
}

/// How many scores an output declares, if that is left open nothing; `None` where it cannot be scores of classes.
fn declared_classes(output: &TensorInfo) -> Option<Option<i64>> {
    if !matches!(output.datatype.as_str(), "" | "FP32" | "FP16" | "FP64" | "BF16") {
        return None;
    }
    let scores = output.shape.get(1..).unwrap_or_default();
    match scores.iter().copied().filter(|size| *size != 1).collect::<Vec<_>>()[..] {
        // Sizes of [classes] without a batch, and of an output that declares none.
        [] if output.shape.len() == 1 => Some(output.shape.first().copied().filter(|size| *size > 0)),
        [] => Some((!output.shape.is_empty()).then_some(1)),
        [-1] => Some(None),
        [classes] => Some(Some(classes)),
        _ => None,
    }
}

/// What the name says of the output, the worst word of all first.
fn words(name: &str) -> i8 {
    let name = name.to_lowercase();
    let found = || WORDS.iter().filter(|(word, _)| name.contains(word)).map(|(_, weight)| *weight);
    found().min().filter(|worst| *worst < 0).or_else(|| found().max()).unwrap_or(0)
}

/// The only input that a picture can be; others would have to be given values.
///
/// # Errors
/// [`EngineError::NotAClassifier`].
pub(super) fn only_input(inputs: &[TensorInfo]) -> Result<&TensorInfo, EngineError> {
    if let [input] = inputs {
        return Ok(input);
    }
    let names = listed(inputs, |input| excerpt(&input.name));
    let small = inputs.iter().find(|input| input.shape.len() < 3);
    let help = match small {
        _ if inputs.is_empty() => String::new(),
        Some(input) => format!("; export the network with a constant in place of {:?}, of shape {:?}", excerpt(&input.name), input.shape),
        None => "; a classifier takes one picture, export the part that does".to_owned(),
    };
    Err(EngineError::NotAClassifier(format!("{} inputs ({names}), expected one{help}", inputs.len())))
}

fn listed(tensors: &[TensorInfo], show: impl Fn(&TensorInfo) -> String) -> String {
    let names: Vec<String> = tensors.iter().take(MOST_NAMES).map(show).collect();
    names.join(", ") + if tensors.len() > MOST_NAMES { ", …" } else { "" }
}

/// The number of classes that an output of `shape` scores, for a batch of so many images.
///
/// # Errors
/// [`EngineError::NotAClassifier`].
pub(super) fn classes(shape: &[usize], batch: usize) -> Result<usize, EngineError> {
    let long = |sizes: &[usize]| sizes.iter().filter(|size| **size != 1).count();
    let classes = match shape {
        // Of one image there need not be an axis for the batch.
        _ if batch == 1 && long(shape) <= 1 => shape.iter().product(),
        [first, rest @ ..] if *first == batch && long(rest) <= 1 => rest.iter().product(),
        _ => {
            let why = format!("output of shape {shape:?}, expected one score per class, [{batch}, classes]");
            return Err(EngineError::NotAClassifier(why));
        }
    };
    match classes {
        1..=MAX_CLASSES => Ok(classes),
        _ => Err(EngineError::NotAClassifier(format!("output of {classes} scores, expected 1 to {MAX_CLASSES}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(name: &str, shape: &[i64]) -> TensorInfo {
        TensorInfo { name: name.to_owned(), datatype: "FP32".to_owned(), shape: shape.to_vec() }
    }

    fn chosen(outputs: &[TensorInfo], labels: Option<usize>) -> String {
        let mut warnings = Vec::new();
        let at = choose(outputs, None, labels, |_| Ending::Scores, &mut warnings).unwrap();
        assert_eq!(warnings.len(), usize::from(outputs.len() > 1), "{warnings:?}");
        outputs[at].name.clone()
    }

    #[test]
    fn a_network_has_some_classes_and_not_millions() {
        let refused = |shape: &[usize]| classes(shape, 1).unwrap_err().to_string();
        for shape in [&[1, 1000, 1, 1][..], &[1000], &[1, 1, 1, 1000], &[1000, 1, 1]] {
            assert_eq!(classes(shape, 1).unwrap(), 1000, "{shape:?}");
        }
        assert_eq!((classes(&[], 1).unwrap(), classes(&[1], 1).unwrap(), classes(&[4], 4).unwrap()), (1, 1, 1));
        assert_eq!(refused(&[1, 12_582_912]), "not an image classifier: output of 12582912 scores, expected 1 to 1048576");
        assert_eq!(refused(&[1, 0]), "not an image classifier: output of 0 scores, expected 1 to 1048576");
    }

    #[test]
    fn the_output_that_looks_most_like_scores_is_taken() {
        let scores = |name: &str| output(name, &[-1, 10]);
        assert_eq!(chosen(&[output("x", &[1, 9, 9])], None), "x", "the only one, whatever it is");
        assert_eq!(chosen(&[scores("probabilities"), scores("logits")], None), "logits");
        assert_eq!(chosen(&[scores("aux_logits"), scores("out")], None), "out");
        assert_eq!(chosen(&[output("embedding", &[-1, 512]), scores("dense_1")], None), "dense_1");
        assert_eq!(chosen(&[output("a", &[-1, 512]), scores("b")], Some(10)), "b", "as many as there are labels");
        assert_eq!(chosen(&[output("map", &[-1, 10, 7, 7]), output("c", &[-1, 10, 1, 1])], None), "c");
        assert_eq!(chosen(&[output("logits", &[-1, 512]), scores("b")], Some(10)), "b");
        assert_eq!(chosen(&[scores("a"), scores("b")], None), "a");
    }

    #[test]
    fn a_stated_output_is_taken_and_an_unknown_one_refused_with_all_names() {
        let outputs = [output("logits", &[-1, 10]), output("features", &[-1, 512])];
        let choose = |name| choose(&outputs, Some(name), Some(10), |_| Ending::Scores, &mut vec![]);
        assert_eq!(choose("features").unwrap(), 1);
        assert_eq!(choose("feature").unwrap_err().to_string(), "no output \"feature\", expected one of \"logits\", \"features\"");
    }

    #[test]
    fn without_an_output_of_scores_all_are_named_with_their_shapes() {
        let outputs = [output("map", &[-1, 64, 7, 7]), output("boxes", &[-1, 100, 4])];
        let refused = choose(&outputs, None, None, |_| Ending::Scores, &mut vec![]).unwrap_err().to_string();
        assert_eq!(
            refused,
            "not an image classifier: 2 outputs (map [-1, 64, 7, 7], boxes [-1, 100, 4]), expected one of them to be scores, [N, classes]"
        );
    }
}
