//! `Einsum` with an ellipsis, whose axes are known when the ranks are.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_hir::internal::*;

use crate::graph::Refusal;

const ELLIPSIS: &str = "...";

pub(super) fn import(context: &ParsingContext<'_>, node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let equation: String = node.get_attr("equation")?;
    if equation.contains(ELLIPSIS) {
        return Ok((expand(Ellipsis(equation.replace(' ', ""))), vec![]));
    }
    super::theirs("Einsum", context, node)
}

/// The equation.
#[derive(Debug, Clone)]
struct Ellipsis(String);

impl Ellipsis {
    /// The equation with letters in the place of ellipses, the last axes being the same ones as in NumPy's broadcasting.
    fn letters(&self, ranks: &[usize]) -> TractResult<AxesMapping> {
        let (terms, result) = match self.0.split_once("->") {
            Some((terms, result)) => (terms, result.to_owned()),
            None => (self.0.as_str(), self.implicit()),
        };
        ensure!(terms.split(',').count() == ranks.len(), Refusal(format!("its equation {:.60} is of other than {} inputs", self.0, ranks.len())));
        let free: Vec<char> = ('A'..='Z').filter(|letter| !self.0.contains(*letter)).collect();
        let mut most = 0;
        let mut spelled = vec![];
        for (term, rank) in terms.split(',').zip(ranks) {
            let named = term.replace(ELLIPSIS, "").chars().count();
            let hidden = rank.checked_sub(named).filter(|hidden| *hidden <= free.len() && (term.contains(ELLIPSIS) || *hidden == 0));
            let hidden = hidden.ok_or_else(|| Refusal(format!("its equation {:.60} names {named} axes of an input of {rank}", self.0)))?;
            most = most.max(hidden);
            spelled.push((term, hidden));
        }
        let letters = |hidden: usize| free[most - hidden..most].iter().collect::<String>();
        let terms: Vec<String> = spelled.iter().map(|(term, hidden)| term.replace(ELLIPSIS, &letters(*hidden))).collect();
        format!("{}->{}", terms.join(","), result.replace(ELLIPSIS, &letters(most))).parse()
    }

    /// The result where none is stated: the ellipsis, and in alphabetical order what occurs once.
    fn implicit(&self) -> String {
        let letters: Vec<char> = self.0.chars().filter(char::is_ascii_alphabetic).collect();
        let mut once: Vec<char> = letters.iter().copied().filter(|letter| letters.iter().filter(|other| *other == letter).count() == 1).collect();
        once.sort_unstable();
        ELLIPSIS.chars().chain(once).collect()
    }
}

impl Expansion for Ellipsis {
    fn name(&self) -> StaticName {
        "Einsum".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(&'s self, s: &mut Solver<'r>, inputs: &'p [TensorProxy], outputs: &'p [TensorProxy]) -> InferenceResult {
        check_output_arity(outputs, 1)?;
        for input in inputs {
            s.equals(&input.datum_type, &outputs[0].datum_type)?;
        }
        s.given_all(inputs.iter().map(|input| &input.rank), move |s, ranks| {
            let ranks: Vec<usize> = ranks.iter().map(|rank| *rank as usize).collect();
            let axes = self.letters(&ranks)?;
            s.equals(&outputs[0].rank, axes.rank(InOut::Out(0)) as i64)
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let facts = inputs.iter().map(|input| model.outlet_fact(*input).cloned()).collect::<TractResult<Vec<_>>>()?;
        let axes = self.letters(&facts.iter().map(|fact| fact.rank()).collect::<Vec<_>>())?;
        let operating_dt = facts.first().context("no input")?.datum_type;
        model.wire_node(prefix, EinSum { axes, operating_dt, q_params: None }, inputs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_axes_of_an_ellipsis_are_the_same_ones() {
        let spelled = |equation: &str, ranks: &[usize]| Ellipsis(equation.to_owned()).letters(ranks).unwrap().to_string();
        let same = |a: &str, b: &str| assert_eq!(a, b.parse::<AxesMapping>().unwrap().to_string());
        same(&spelled("...hw,wv->...hv", &[4, 2]), "ABhw,wv->ABhv");
        same(&spelled("...w,...w", &[3, 2]), "ABw,Bw->AB");
        same(&spelled("bc...,cd->bd...", &[4, 2]), "bcAB,cd->bdAB");
        assert!(Ellipsis("...hw,wv->...hv".to_owned()).letters(&[1, 2]).is_err());
    }
}
