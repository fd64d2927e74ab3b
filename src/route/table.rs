use std::{borrow::Cow, collections::BTreeMap};

use http::{HeaderValue, Method, header::ALLOW};

use crate::{
    context::BodyMode,
    model::{BodyForm, Profile, known_routes},
    rejection::{Refusal, Rejection},
};

/// The open routes.
#[derive(Clone, Debug)]
pub(super) enum Routes {
    /// All paths and methods, under one name.
    Named(Cow<'static, str>),
    Listed(Listed),
}

/// Routes with a fixed path, beside those with a model's name.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    profile: Profile,
    routes: BTreeMap<Cow<'static, str>, OpenRoute>,
}

#[derive(Clone, Debug)]
pub(super) struct OpenRoute {
    name: Cow<'static, str>,
    methods: Vec<Method>,
    body: BodyMode,
    /// It is the built-in one, which a route of the user replaces.
    built_in: bool,
}

/// The facts about a route that a request learns.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) name: Cow<'static, str>,
    /// `None`: a router of the user has chosen the route, and its form is not known.
    pub(super) body: Option<BodyMode>,
}

impl Listed {
    pub(super) fn new(profile: &Profile) -> Self {
        let get = [Method::GET, Method::HEAD].to_vec();
        let models = (
            known_routes::MODELS.into(),
            OpenRoute {
                name: known_routes::MODELS.into(),
                methods: get,
                body: BodyMode::Json,
                built_in: true,
            },
        );
        let post = |name: Cow<'static, str>, body| {
            let methods = vec![Method::POST];
            (name.clone(), OpenRoute { name, methods, body, built_in: true })
        };
        let fixed = known_routes::FIXED.iter().map(|(name, body)| post((*name).into(), *body));
        let added = profile.added_routes().map(|(path, form)| {
            let known = known_routes::FIXED.iter().find(|(name, _)| *name == path);
            let body = known.map_or_else(|| body_of(form), |(_, body)| *body);
            post(path.to_owned().into(), body)
        });
        let routes = fixed.chain(added).chain([models]).collect();
        Self { profile: profile.clone(), routes }
    }

    pub(super) fn add(&mut self, method: Method, path: Cow<'static, str>, name: Cow<'static, str>) {
        let body = match self.routes.get(&path) {
            Some(route) => route.body,
            None => known_routes::of_model(&path)
                .map_or_else(|| body_of(self.profile.form(&path)), |(_, body)| body),
        };
        let route = self.routes.entry(path).or_insert_with(|| OpenRoute {
            name: name.clone(),
            methods: Vec::new(),
            body,
            built_in: true,
        });
        if std::mem::take(&mut route.built_in) {
            route.methods.clear();
        }
        route.name = name;
        if !route.methods.contains(&method) {
            route.methods.push(method);
        }
    }

    #[cfg(feature = "schema")]
    pub(super) fn has_name(&self, name: &str) -> bool {
        self.routes.values().any(|route| route.name == name) || known_routes::names_a_model(name)
    }

    #[cfg(feature = "hf")]
    pub(super) const fn profile(&self) -> &Profile {
        &self.profile
    }

    fn find(&self, method: &Method, path: &str) -> Result<Found, Rejection> {
        if let Some(route) = self.routes.get(path) {
            return if route.methods.contains(method) {
                Ok(Found { name: route.name.clone(), body: Some(route.body) })
            } else {
                Err(method_not_allowed(&route.methods))
            };
        }
        match known_routes::of_model(path) {
            Some((name, body)) if method == Method::POST => {
                Ok(Found { name: Cow::Borrowed(name), body: Some(body) })
            }
            Some(_) => Err(method_not_allowed(&[Method::POST])),
            None => Err(not_found()),
        }
    }
}

impl Routes {
    pub(super) fn find(&self, method: &Method, path: &str) -> Result<Found, Rejection> {
        match self {
            Self::Named(name) => Ok(Found { name: name.clone(), body: None }),
            Self::Listed(listed) => listed.find(method, path),
        }
    }
}

/// The handling of the bodies of a route that only its form describes.
fn body_of(form: BodyForm) -> BodyMode {
    match form {
        BodyForm::Any | BodyForm::Media => BodyMode::Bytes,
        _ => BodyMode::Json,
    }
}

fn not_found() -> Rejection {
    Rejection::new(Refusal::NotFound)
        .with_detail("this gateway has no such route; compare the path with that of the API")
}

fn method_not_allowed(methods: &[Method]) -> Rejection {
    let methods: Vec<_> = methods.iter().map(Method::as_str).collect();
    let methods = methods.join(", ");
    let rejection = Rejection::new(Refusal::MethodNotAllowed)
        .with_detail(format!("this route accepts only {methods}"));
    match HeaderValue::try_from(methods) {
        Ok(methods) => rejection.with_header(ALLOW, methods),
        Err(_) => rejection,
    }
}
