//! Folders of a node, by their names alone.

/// How the folders begin in which a run with `persist` writes files beside those that they replace; the run's four digits
/// follow.
const STAGE: &str = ".updo-";

/// The folder of a file.
pub fn folder_of(file: &str) -> Option<&str> {
    Some(file.rsplit_once('/')?.0)
}

/// The folder inside of another in which a run writes.
pub fn stage_in(folder: &str, run: &str) -> String {
    format!("{folder}/{STAGE}{run}")
}

/// Whether a name is that of such a folder.
pub fn is_stage(name: &str) -> bool {
    let run = name.strip_prefix(STAGE);
    run.is_some_and(|run| run.len() == 4)
}

/// Where a file belongs: a node that was started in the middle of the writing has loaded it from the folder of the run.
pub fn in_place(file: &mut String) {
    let Some((stage, name)) = file.rsplit_once('/') else {
        return;
    };
    if let Some((folder, last)) = stage.rsplit_once('/')
        && is_stage(last)
    {
        *file = format!("{folder}/{name}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_an_interrupted_writing_belong_one_folder_up() {
        let placed = |file: &str| {
            let mut file = file.to_owned();
            in_place(&mut file);
            file
        };
        assert_eq!(placed("/srv/ebin/.updo-0a1b/m.beam"), "/srv/ebin/m.beam");
        for other in [
            "/srv/ebin/m.beam",
            "/srv/.updo-01/m.beam",
            "m.beam",
            ".updo-0a1b/m.beam",
        ] {
            assert_eq!(placed(other), other);
        }
    }
}
