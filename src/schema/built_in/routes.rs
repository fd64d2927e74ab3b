//! Finds the built-in schema of a route.

use super::bounds::BuiltInSchemas;
use crate::{
    model::{BodyForm, Dialect, Profile},
    schema::compile::schema::Schema,
};

/// The compiled built-in schemas by the form of the bodies.
#[derive(Clone, Debug)]
pub(crate) struct BuiltInRoutes {
    profile: Profile,
    schemas: Vec<(BodyForm, Schema)>,
}

/// The rule for the bodies of a path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PathSchema<'a> {
    pub(crate) schema: Option<&'a Schema>,
    /// Bodies that are neither JSON nor text pass unread.
    pub(crate) binary: bool,
}

impl BuiltInRoutes {
    pub(crate) fn new(built_in: &BuiltInSchemas) -> Self {
        const FORMS: [BodyForm; 13] = [
            BodyForm::Chat,
            BodyForm::Completion,
            BodyForm::Responses,
            BodyForm::Messages,
            BodyForm::Generate,
            BodyForm::Any,
            BodyForm::Predict,
            BodyForm::Embeddings,
            BodyForm::Embed,
            BodyForm::Rerank,
            BodyForm::Similarity,
            BodyForm::FeatureExtraction,
            BodyForm::SentenceSimilarity,
        ];
        let schemas = FORMS.into_iter().filter_map(|form| Some((form, built_in.of_form(form)?)));
        Self { profile: built_in.profile().clone(), schemas: schemas.collect() }
    }

    pub(crate) fn of_path(&self, path: &str) -> PathSchema<'_> {
        let form = self.profile.form(path);
        let schema = self.schemas.iter().find(|(of, _)| *of == form).map(|(_, schema)| schema);
        PathSchema { schema, binary: form == BodyForm::Any }
    }
}

impl BuiltInSchemas {
    /// Returns the schema of a form if it has one.
    fn of_form(&self, form: BodyForm) -> Option<Schema> {
        let tei = self.profile().dialect() == Dialect::Tei;
        Some(match form {
            BodyForm::Chat => self.chat_completion(),
            BodyForm::Completion => self.completion(),
            BodyForm::Responses => self.responses(),
            BodyForm::Messages => self.messages(),
            BodyForm::Generate => self.generate(),
            BodyForm::Predict if tei => self.tei_predict(),
            BodyForm::Any | BodyForm::Predict => self.any_task(),
            BodyForm::Embeddings => self.embeddings(),
            BodyForm::Embed => self.tei_embed(),
            BodyForm::Rerank if tei => self.tei_rerank(),
            BodyForm::Rerank => self.rerank(),
            BodyForm::Similarity => self.tei_similarity(),
            BodyForm::FeatureExtraction => self.feature_extraction(),
            BodyForm::SentenceSimilarity => self.sentence_similarity(),
            BodyForm::Reads | BodyForm::Media | BodyForm::Unknown => return None,
        })
    }
}
