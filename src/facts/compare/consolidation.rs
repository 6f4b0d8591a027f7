//! New implementations that a consolidated protocol will not find.

use std::collections::BTreeMap;

use super::compared_node::ComparedNode;
use crate::diag::Result;
use crate::facts::beam::protocols;
use crate::facts::change::{Changed, Notice};
use crate::facts::node::queries;
use crate::name::Module;

/// Those among the modules that take part.
pub(super) fn unseen(
    node: &ComparedNode<'_>,
    modules: &BTreeMap<Module, Changed>,
) -> Result<Vec<Notice>> {
    let added = modules.iter().filter(|(_, changed)| changed.is_new());
    let implementations: Vec<(Module, Module)> = added
        .filter_map(|(module, changed)| {
            let protocol = protocols::implements(&changed.new.as_ref()?.facts)?;
            let stays = !modules.contains_key(&protocol);
            (stays && node.facts.loaded.contains_key(&protocol)).then(|| (module.clone(), protocol))
        })
        .collect();
    let names: Vec<Module> = implementations.iter().map(|(_, p)| p.clone()).collect();
    let answers = queries::consolidated(node.session, &names)?;
    let both = implementations.into_iter().zip(answers);
    let unseen = both.filter(|(_, consolidated)| *consolidated);
    let notices =
        unseen.map(|((module, protocol), _)| Notice::ImplementationUnseen { module, protocol });
    Ok(notices.collect())
}
